#!/usr/bin/env bash
# Package:   decord 0.6.0 (PyPI, Linux x86-64); PyAV 18.1.0 writes the clips and reads them for comparison.
# Expected:  of an MP4 whose edit list hides the first frames (they are there because later ones refer to them, as after a cut
#            without encoding), a reader gives the frames that are shown: len(VideoReader) is their number.
# Behaviour: len() is the number of all samples. The hidden frames are skipped all the same, so that indices at the end have no
#            frame: they give the last picture again, with no error. (From 9 such frames on there is a line on stderr, about
#            corrupted frames.) A clip sampled evenly over len() is sampled otherwise than the same clip without an edit list.
# Seen:      2026-11-27, Python 3.11, 20 frames shown, 5 hidden: PyAV 20 frames; decord 25, the last 6 are the same picture.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check decord==0.6.0 av==18.1.0 numpy==2.4.6

cat >"$work/count.py" <<'PYTHON'
"""Writes a clip that gets brighter, with and without hidden frames, and prints what PyAV and decord read of it."""

import sys
from fractions import Fraction

import av
import decord
import numpy as np

SIZE, RATE, SHOWN = 64, 25, 20


def write(path: str, hidden: int) -> None:
    """libavformat writes an edit list where the first frames have times below 0."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"bf": "0", "g": "1000", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, RATE)
        frames = []
        for number in range(hidden + SHOWN):
            planes = np.full((SIZE * 3 // 2, SIZE), 128, np.uint8)
            planes[:SIZE] = 20 + 6 * number
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            frames.append(frame)
        for frame in [*frames, None]:
            for packet in stream.encode(frame):
                packet.pts -= hidden
                packet.dts -= hidden
                file.mux(packet)


def describe(reader: str, pictures: list[np.ndarray]) -> str:
    levels = [int(picture.mean()) for picture in pictures]
    return f"{reader}: {len(levels)} frames, {len(set(levels))} pictures, {levels.count(levels[-1])} times the last"


for hidden in (0, 5):
    path = f"{sys.argv[1]}/{hidden}.mp4"
    write(path, hidden)
    with av.open(path) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    print(f"{hidden} hidden,", describe("PyAV", frames))
    reader = decord.VideoReader(path)
    print(f"{hidden} hidden,", describe("decord", [reader[number].asnumpy() for number in range(len(reader))]))
PYTHON
found=$("$work/venv/bin/python" "$work/count.py" "$work")
echo "$found"
expect() {
    grep -q -x -F -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect '0 hidden, PyAV: 20 frames, 20 pictures, 1 times the last'
expect '0 hidden, decord: 20 frames, 20 pictures, 1 times the last'
expect '5 hidden, PyAV: 20 frames, 20 pictures, 1 times the last'
expect '5 hidden, decord: 25 frames, 20 pictures, 6 times the last'
