"""Makes golden.json and golden.bin: pictures of YUV, grey and planar RGB as PyAV itself gives them in RGB.

    pip install av==18.1.0 numpy
    python tests/data/pixels/make.py

PyAV 17 or newer, on x86-64: older ones ignore matrix and range, and other machines take other arithmetic. The wheel
has FFmpeg's libraries; golden.json names the versions.

Source planes are not stored: `noise` makes them, as tests/pixels.rs does. golden.bin has the rgb24 of all cases, one
after the other: [height, width, 3], uint8.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

FOLDER = Path(__file__).parent

# GStreamer's name: FFmpeg's, bits, and how many luma samples share a chroma sample sideways and downwards.
YUV = {
    "I420": ("yuv420p", 8, (2, 2)),
    "Y42B": ("yuv422p", 8, (2, 1)),
    "Y444": ("yuv444p", 8, (1, 1)),
    "I420_10LE": ("yuv420p10le", 10, (2, 2)),
    "I422_10LE": ("yuv422p10le", 10, (2, 1)),
    "Y444_10LE": ("yuv444p10le", 10, (1, 1)),
}
# Even and odd sides. Then, with fewer tags: more than a block of the fast path, and less than swscale's filters need.
SIZES = [(24, 16), (23, 16), (24, 15), (23, 15)]
FEW = [(70, 2), (71, 2), (1, 1), (2, 1), (1, 2), (3, 3), (4, 4), (5, 6), (6, 5), (8, 7), (7, 8)]
# AVColorSpace and AVColorRange.
MATRICES = {"bt601": 5, "bt709": 1, "fcc": 4, "smpte240m": 7, "bt2020": 9}
RANGES = {"limited": 1, "full": 2}
# FFmpeg's filter setparams calls them so.
SITINGS = {"left": "left", "centre": "center", "top-left": "topleft"}
TAGS = [(matrix, span) for span in RANGES for matrix in MATRICES]


def noise(rows: int, columns: int, state: int, bits: int) -> tuple[np.ndarray, int]:
    """A plane of the highest bits of a linear congruential generator, and its next state."""
    values = np.empty(rows * columns, np.uint8 if bits == 8 else np.dtype("<u2"))
    for at in range(values.size):
        state = (state * 1664525 + 1013904223) % 2**32
        values[at] = state >> (32 - bits)
    return values.reshape(rows, columns), state


def filled(layout: str, planes: list[np.ndarray]) -> av.VideoFrame:
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, layout)
    for plane, values in zip(frame.planes, planes, strict=True):
        row = values.view(np.uint8)
        padded = np.zeros((row.shape[0], plane.line_size), np.uint8)
        padded[:, : row.shape[1]] = row
        plane.update(padded.tobytes())
    return frame


def sited(frame: av.VideoFrame, siting: str) -> av.VideoFrame:
    """The frame with the tag that decoders give: a filter sets it, as PyAV's frames have no attribute for it."""
    graph = Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base="1/25")
    tag = graph.add("setparams", f"chroma_location={SITINGS[siting]}")
    sink = graph.add("buffersink")
    source.link_to(tag)
    tag.link_to(sink)
    graph.configure()
    frame.pts = 0
    graph.push(frame)
    return graph.pull()


def picture(layout: str, size: tuple[int, int], seed: int) -> av.VideoFrame:
    width, height = size
    if layout in YUV:
        name, bits, (sideways, downwards) = YUV[layout]
        chroma = -(-height // downwards), -(-width // sideways)
        shapes = [(height, width), chroma, chroma]
    else:
        name, bits = {"GRAY8": ("gray", 8), "GBR": ("gbrp", 8)}[layout]
        shapes = [(height, width)] * (3 if layout == "GBR" else 1)
    planes, state = [], seed
    for rows, columns in shapes:
        plane, state = noise(rows, columns, state, bits)
        planes.append(plane)
    return filled(name, planes)


def cases() -> tuple[list[dict[str, Any]], bytes]:
    rows, values = [], b""
    turn = count()

    def add(layout: str, size: tuple[int, int], tag: tuple[str, str] | None, siting: str | None) -> None:
        nonlocal values
        seed = len(rows)
        frame = picture(layout, size, seed)
        if siting:
            frame = sited(frame, siting)
        if tag:
            frame.colorspace, frame.color_range = MATRICES[tag[0]], RANGES[tag[1]]
        result = frame.to_ndarray(format="rgb24")
        assert result.shape == (size[1], size[0], 3)
        matrix, span = tag or (None, None)
        rows.append({"layout": layout, "size": size, "seed": seed, "matrix": matrix, "range": span, "siting": siting})
        values += result.tobytes()

    def next_tag() -> tuple[str, str]:
        return TAGS[next(turn) % len(TAGS)]

    for layout, (_, _, share) in YUV.items():
        sitings: list[str | None] = [None] if share == (1, 1) else [None, "left", "top-left"]
        for size in SIZES:
            add(layout, size, None, None)
            for siting in sitings:
                add(layout, size, next_tag(), siting)
        add(layout, SIZES[0], next_tag(), None if share == (1, 1) else "centre")
        for size in FEW:
            for siting in sitings:
                add(layout, size, next_tag(), siting)
    for layout in ("GRAY8", "GBR"):
        for size in (SIZES[0], SIZES[3]):
            add(layout, size, None, None)
    add("GRAY8", SIZES[0], ("bt709", "limited"), None)
    return rows, values


def main() -> None:
    rows, values = cases()
    libraries = {name: ".".join(map(str, av.library_versions[name])) for name in ("libavutil", "libswscale")}
    versions = json.dumps({"av": av.__version__, **libraries})
    lines = ",\n".join(map(json.dumps, rows))
    (FOLDER / "golden.json").write_text(f'{{"versions": {versions},\n"cases": [\n{lines}\n]}}\n')
    (FOLDER / "golden.bin").write_bytes(values)
    print(f"{len(rows)} cases, {len(values)} bytes")


if __name__ == "__main__":
    main()
