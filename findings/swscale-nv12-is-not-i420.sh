#!/usr/bin/env bash
# Package:   PyAV 18.1.0 (PyPI, Linux x86-64), with libswscale 9.5.102.
# Expected:  yuv420p and nv12 hold the same samples in another order: the same picture becomes the same RGB.
# Behaviour: it becomes another. Greys (BT.601, limited range) are 1.2 levels darker from nv12, white (235) is 253 and not 255;
#            from yuv420p, every chroma row serves two rows of pixels, from nv12 rows between are interpolated. So a decoder that
#            writes nv12, as hardware decoders do, gives other pixels than one that writes yuv420p.
# Seen:      2026-11-27, 256×256, bytes that differ: grey ramp 99%, by 2 at most; ramp of one hue 62%, by 2; noise 69%, by 129.
#            White: 255 and 253.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check av==18.1.0 numpy==2.4.6

cat >"$work/compare.py" <<'PYTHON'
"""Converts the same pictures from yuv420p and from nv12 to rgb24 and prints how far the results differ."""

import av
import numpy as np

SIZE, HALF = 256, 128
random = np.random.default_rng(0)
ramp = np.tile(np.linspace(16, 235, SIZE).astype(np.uint8), (SIZE, 1))


def plane(value: int) -> np.ndarray:
    return np.full((HALF, HALF), value, np.uint8)


def noise(size: int) -> np.ndarray:
    return random.integers(0, 256, (size, size), np.uint8)


def rgb(format: str, *planes: np.ndarray) -> np.ndarray:
    rows = np.concatenate([samples.ravel() for samples in planes]).reshape(-1, SIZE)
    return av.VideoFrame.from_ndarray(rows, format=format).to_ndarray(format="rgb24").astype(int)


print("libswscale", *av.library_versions["libswscale"])
for name, y, u, v in (
    ("grey", ramp, plane(128), plane(128)),
    ("one hue", ramp, plane(100), plane(150)),
    ("noise", noise(SIZE), noise(HALF), noise(HALF)),
):
    planar = rgb("yuv420p", y, u, v)
    difference = rgb("nv12", y, np.stack([u, v], -1)) - planar
    part, most = np.mean(difference != 0), abs(difference).max()
    print(f"{name}: {part:.0%} of bytes differ, by {most} at most, by {difference.mean():.2f} on average")
white = np.full((SIZE, SIZE), 235, np.uint8)
from_planar = rgb("yuv420p", white, plane(128), plane(128))
from_nv12 = rgb("nv12", white, np.full((HALF, HALF, 2), 128, np.uint8))
print(f"white: from {from_planar.min()} to {from_planar.max()}, and from {from_nv12.min()} to {from_nv12.max()}")
PYTHON
found=$("$work/venv/bin/python" "$work/compare.py")
echo "$found"
for name in grey 'one hue' noise; do
    grep -q -e "^$name: [6-9][0-9]% of bytes differ" <<<"$found" || { echo "$name: no longer so different" >&2; exit 1; }
done
grep -q -x -e 'white: from 255 to 255, and from 253 to 253' <<<"$found" || { echo "white is no longer so" >&2; exit 1; }
