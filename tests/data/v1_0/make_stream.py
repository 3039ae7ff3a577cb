"""Makes stream.vidtok with the writer of version 1.0 beside this file: `python3 make_stream.py`."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from vidtok_stream import Stream, TokenFormat, write

FORMAT = TokenFormat(
    model="example",
    tokenizer="0123456789abcdef" * 4,
    levels=(8,) * 5,
    token_type="uint16",
    time_factor=4,
    space_factor=8,
    causal=True,
    width=16,
    height=8,
    framerate=Fraction(30),
)

if __name__ == "__main__":
    # Two segments of three packets; the times of the last four frames are off the framerate's grid.
    pts = [i * 1_000_000_000 // 30 for i in range(18)]
    pts[-3:] = [pts[-4] + step for step in (34_000_000, 66_666_667, 99_000_000)]
    stream = Stream.of(FORMAT, np.arange(12).reshape(6, 1, 2) * 2700, segment_starts=[0, 3], pts=pts)
    write(Path(__file__).with_name("stream.vidtok"), stream)
