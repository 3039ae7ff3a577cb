#!/usr/bin/env bash
# Package:   PyAV 16.1.0 and 17.1.0 (PyPI, Linux x86-64).
# Expected:  VideoFrame.to_ndarray(format="rgb24") converts with the matrix and the range that the frame itself states
#            (colorspace, color_range), as the decoder set them.
# Behaviour: 16.1.0 ignores both, and converts as BT.601, limited range, with no warning. 17.1.0 honours them. So HD video, which is
#            BT.709 as a rule, has other colours in the two: pictures of one version are no reference for the other.
#            (PyAV-Org/PyAV, issue 2230.)
# Seen:      2026-11-27, noise of 64×48 pixels, bytes that differ from those of the same frame without tags. 16.1.0: none. 17.1.0:
#            BT.709 66%, by 49 at most; full range 72%, by 21; both 73%, by 58.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat >"$work/tags.py" <<'PYTHON'
"""Prints how far the RGB of a tagged frame is from that of the same frame without tags."""

import av
import numpy as np

# As H.273 and FFmpeg count them.
BT709, FULL = 1, 2
random = np.random.default_rng(0)
# 64 by 48 luma, and 2 planes of 32 by 24 chroma samples.
samples = random.integers(16, 236, (72, 64), np.uint8)


def rgb(**tags: int) -> np.ndarray:
    frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
    for name, value in tags.items():
        setattr(frame, name, value)
        assert getattr(frame, name) == value
    return frame.to_ndarray(format="rgb24").astype(int)


for name, tags in (
    ("BT.709", {"colorspace": BT709}),
    ("full range", {"color_range": FULL}),
    ("BT.709, full range", {"colorspace": BT709, "color_range": FULL}),
):
    difference = rgb(**tags) - rgb()
    part, most = np.mean(difference != 0), abs(difference).max()
    print(f"{av.__version__}, {name}: {part:.0%} of bytes differ, by {most} at most")
PYTHON
for version in 16.1.0 17.1.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "av==$version" numpy==2.4.6
    found=$("$work/$version/bin/python" "$work/tags.py")
    echo "$found"
    case $version in
    16.1.0) expected=': 0% of bytes differ, by 0 at most$' ;;
    17.1.0) expected=': [6-9][0-9]% of bytes differ, by [1-9][0-9] at most$' ;;
    esac
    if [ "$(grep -c -e "$expected" <<<"$found")" != 3 ]; then
        echo "$version: this is new" >&2
        exit 1
    fi
done
