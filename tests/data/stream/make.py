"""Makes the `.vidtok` files of this folder, and the `.json` beside each: what a reader must say of it.

    python3 make.py [FOLDER]

What to expect follows from what is done to a stream here: parts of it are lost, damaged, cut off or joined. README.md
has the JSON's form.
"""

import copy
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pieces import (
    CAUSAL,
    END_OF_STREAM,
    FLOAT16,
    FLOAT32,
    LARGE,
    ODD,
    SEGMENT_END,
    WINDOWS,
    Json,
    Piece,
    Stream,
    changed,
    cut,
    error,
    flipped,
    header_bytes,
    hole,
    skipped,
    uncertain,
    unsaid,
)

NULLABLE = ("levels", "codebook-size", "channels", "colorimetry")

CASES: dict[str, tuple[str, list[Piece], Json]] = {}


def case(name: str, what: str, pieces: Iterable[Piece | list[Piece]], **told: Any) -> None:
    """`ended`: whether the file's end is a stream's. `written`: a writer of version 1.1 makes these bytes."""
    flat = [piece for part in pieces for piece in (part if isinstance(part, list) else [part])]
    CASES[name] = (what, flat, {"ended": True, "written": False} | told)


def good() -> None:
    s = Stream(CAUSAL)
    pieces = [
        s.segment_of(1, 1, 1),
        s.segment_of(1, 2, ends=False),
        s.end(stream=False),
        s.segment_of(1, 1, ends=False),
    ]
    tail = s.packet(real=2, flags=SEGMENT_END | END_OF_STREAM)
    what = "Three segments: the first ends by a flag, the second by an end mark, the third in the middle of a group."
    case("causal", what, [*pieces, tail, s.end()], written=True)

    s = Stream(WINDOWS)
    windows = [[s.header(), s.packet(4, start=True, real=real, flags=SEGMENT_END)] for real in (16, 16, 7)]
    case("windows", "Not causal: each window of four latent frames is a segment.", [*windows, s.end()], written=True)

    s = Stream(CAUSAL, None)
    first = s.segment_of(1, 1, ends=False)
    pieces = [*first, s.segment_of(1, 2, ends=False), s.packet(real=3, flags=END_OF_STREAM)]
    case("version-1.0", "Version 1.0: no stream-id, packet headers of 48 bytes, no end mark.", pieces)

    for name, format, what in (
        ("uint32", LARGE, "Indices of 18 bits, which raw buffers have as uint32."),
        ("odd-grid", ODD, "Indices of 3 bits in 15 cells, and names that are not ASCII."),
        ("float16", FLOAT16, "Floats of 16 bits, four channels."),
        ("float32", FLOAT32, "Floats of 32 bits, four channels."),
    ):
        s = Stream(format)
        case(name, what, [s.segment_of(1, 1), s.segment_of(1, 2), s.end()], written=True)

    s = Stream(changed(CAUSAL, framerate="30000/1001"))
    pieces = [
        s.header(),
        s.packet(start=True, pts=7, duration=None),
        s.packet(pts=33_366_666),
        s.packet(pts=166_833_334),
    ]
    pieces.append(s.packet(pts=400_000_000, duration=90, offsets=[10, 20, 70]))
    pieces.append(s.packet(pts=500_000_000, duration=90, offsets=[40, 20, 70]))
    pieces.append(s.packet(pts=None, duration=None, flags=SEGMENT_END))
    s.set_format(changed(CAUSAL, framerate="0/1"))
    pieces += [s.header(), s.packet(start=True, pts=600, duration=10), s.packet(pts=700, duration=10)]
    pieces += [s.packet(pts=800, duration=None), s.packet(pts=900, duration=None, offsets=[1, 1, 5]), s.end()]
    what = "On the framerate's grid and off it, offsets, ones that go back, unknown times; then without a framerate."
    case("times", what, pieces)

    s = Stream(CAUSAL)
    case("empty", "A stream header and an end mark, and no packets.", [s.header(), s.end()])
    s = Stream(CAUSAL, segment=(1 << 32) - 1)
    case("segment-numbers", "The number of a segment is 0 behind 2³² - 1.", [s.segment_of(1), s.segment_of(1), s.end()])


def joined() -> None:
    def whole(format: Json, stream_id: str | None) -> list[Piece]:
        s = Stream(format, stream_id)
        return [*s.segment_of(1, 1), *s.segment_of(1, 1), s.end()]

    pieces = [whole(CAUSAL, "a"), whole(FLOAT16, "b"), whole(CAUSAL, "a")]
    case("joined", "Three streams, the last the same as the first.", pieces)
    a, b = Stream(CAUSAL, "a").segment_of(1, 1, ends=False), Stream(CAUSAL, "b")
    pieces = [a, b.header(), hole("no-end"), b.packet(start=True), b.end()]
    case("joined-stopped", "A stream whose writer was stopped, and another one.", pieces)
    a, b = Stream(CAUSAL, "a").segment_of(1, 1, ends=False), Stream(CAUSAL, "b")
    header, _, inner = b.segment_of(1, 1, ends=False)
    pieces = [a, header, hole("other-stream"), uncertain(inner), b.end()]
    case("other-stream", "A stream, and behind it another one without its start.", pieces)


class Plain:
    """The pieces of a stream: segments of three packets, two, and one, which end by a flag, and the end mark."""

    def __init__(self) -> None:
        s = Stream(CAUSAL)
        self.header, *self.first = s.segment_of(1, 2, 1)
        self.second, self.third = s.segment_of(1, 1)[1:], s.segment_of(1)[1:]
        self.end = s.end()

    @property
    def rest(self) -> list[Piece]:
        """All behind the first segment."""
        return [self.header, *self.second, self.header, *self.third, self.end]


def lost() -> None:
    p = Plain()
    start, inner, last = p.first
    pieces = [p.header, start, hole("missing", 2), uncertain(last), p.rest]
    case("lost-packet", "A packet of two latent frames is missing.", pieces)
    case(
        "lost-end",
        "A segment's last packet is missing.",
        [p.header, start, inner, p.header, hole("no-end"), p.rest[1:]],
    )
    pieces = [p.header, p.first, p.header, hole("missing"), uncertain(p.second[1]), p.header, p.third, p.end]
    case("lost-start", "A segment's first packet is missing, and its stream header is there.", pieces)
    pieces = [p.header, p.first, p.header, hole("missing"), p.third, p.end]
    case("lost-segment", "A whole segment is missing.", pieces)
    case("lost-front", "The file begins with the second segment.", [p.rest])
    front = b"".join(piece.data for piece in [inner, last])
    pieces = [skipped(front), p.header, hole("damage"), p.rest[1:]]
    case("lost-front-in-a-segment", "The file begins with the second packet.", pieces)
    pieces = [p.header, start, inner, hole("repeated"), unsaid(inner), last, p.rest]
    case("repeated", "A packet comes twice.", pieces)
    pieces = [p.header, start, hole("missing", 2), uncertain(last), unsaid(inner), p.rest]
    case("swapped", "Two packets come in the wrong order.", pieces)
    case("no-end", "The writer was stopped between two packets.", [p.header, start, inner], ended=False)
    case("header-only", "The writer was stopped in front of the first packet.", [p.header], ended=False)
    s = Stream(CAUSAL)
    pieces = [s.segment_of(1, 1), hole("totals"), s.end(frames=1)]
    case("wrong-totals", "The end mark counts a frame too many.", pieces)


def damaged() -> None:
    p = Plain()
    start, inner, last = p.first
    whole = [hole("missing", 2), *uncertain(last), *p.rest]
    case("damaged-payload", "A bit of a packet's payload.", [p.header, start, skipped(flipped(inner, -1)), whole])
    pieces = [p.header, start, skipped(flipped(inner, 12)), whole]
    case("damaged-packet-header", "A bit of a packet's number of latent frames.", pieces)
    pieces = [p.header, p.first, skipped(flipped(p.header, 40)), p.rest[1:]]
    case("damaged-header", "A bit of a stream header that is equal to the one before.", pieces)
    front = flipped(p.header, 40) + b"".join(piece.data for piece in p.first)
    case(
        "damaged-first-header",
        "A bit of the first stream header.",
        [skipped(front), p.header, hole("damage"), p.rest[1:]],
    )
    case(
        "damaged-end", "A bit of the stream's end mark.", [p.header, p.first, skipped(flipped(p.end, 40))], ended=False
    )
    s = Stream(CAUSAL)
    first, mark = s.segment_of(1, 1, ends=False), s.end(stream=False)
    header, *second = s.segment_of(1, 1)
    pieces = [first, skipped(flipped(mark, 40)), header, hole("no-end"), second, s.end()]
    case("damaged-segment-end", "A bit of an end mark that stands behind a segment.", pieces)
    lost_inside = inner.data[:62] + inner.data[64:]
    case("cut-inside", "Two bytes of a packet's payload are missing.", [p.header, start, skipped(lost_inside), whole])
    lure = b"\x89VTP\x30\0 and \x89VIDTOK\x01 are not what they seem"
    pieces = [p.header, start, skipped(lure), inner, skipped(bytes(100)), last, p.rest]
    case("garbage", "Other bytes between packets, of which none is missing.", pieces)
    for name, length in (("cut-payload", len(last.data) - 1), ("cut-packet-header", 30), ("cut-sync", 2)):
        pieces = [p.header, start, inner, cut(last.data[:length])]
        case(name, f"The file ends behind {length} bytes of a packet.", pieces, ended=False)
    pieces = [p.header, p.first, cut(p.header.data[:100])]
    # The segment has ended, but the stream has not.
    case("cut-header", "The file ends inside a stream header.", pieces, ended=False)
    s = Stream(CAUSAL, None)
    header, start, inner, last = s.segment_of(1, 1, 1, ends=False)
    pieces = [header, start, skipped(flipped(inner, -1)), hole("damage"), uncertain(last), s.segment_of(1, ends=False)]
    case("version-1.0-damaged", "Version 1.0, where no number says what is missing.", pieces, ended=False)


def newer() -> None:
    s = Stream(CAUSAL)
    s.fields = {"new": {"a": [1, None, {"b": "c"}]}, **s.fields, "newer": 1.5}
    s.header_data = header_bytes(s.fields)
    start = s.packet(start=True, extension=b"\x07" * 9, flags=0xF0)
    pieces = [s.header(), start, s.packet(extension=bytes(1024 - 60)), s.end(more={"new": [1]})]
    case(
        "newer-minor", "Unknown keys, packet headers with unknown fields, and unknown flags of the bits 4 to 7.", pieces
    )
    p = Plain()
    newer = error(header_bytes({"new": 1}, version=2), "newer-version", "version 2")
    case("newer-major", "A stream header of version 2.", [newer], ended=None)
    case(
        "newer-major-later",
        "A stream header of version 2 behind a stream.",
        [p.header, p.first, p.rest, newer],
        ended=None,
    )
    s = Stream(CAUSAL)
    header, start = s.segment_of(1, ends=False)
    flags = error(s.packet(flags=0x100).data, "flags", "0x0100")
    case("unknown-flag", "A packet with the unknown flag of bit 8.", [header, start, flags], ended=None)


def impossible() -> None:
    def bad_header(name: str, what: str, fields: Json | str, says: str) -> None:
        case(name, what, [error(header_bytes(fields), "header", says)], ended=None)

    fields = Stream(CAUSAL).fields
    bad_header("unknown-coding", "A coding that no reader knows.", fields | {"coding": "huffman"}, "huffman")
    bad_header("wrong-grid", "A grid that does not belong to the size.", fields | {"grid-width": 3}, "grid")
    text = json.dumps(fields, separators=(",", ":"))
    bad_header("doubled-key", "A key that comes twice.", text.replace("{", '{"causal":true,', 1), "twice")

    def bad_packet(name: str, what: str, says: str, **fields: Any) -> None:
        s = Stream(CAUSAL)
        header, start = s.segment_of(1, ends=False)
        case(name, what, [header, start, error(s.packet(**fields).data, "packet", says)], ended=None)

    bad_packet("wrong-payload-length", "A payload of three indices.", "6 bytes", tokens=[1, 2, 3])
    bad_packet("too-many-frames", "More real frames than the latent frames stand for.", "5 video frames", real=5)
    s = Stream(ODD)
    pieces = [*s.segment_of(1, ends=False), s.packet(tokens=[7] * 15), s.end()]
    assert pieces[2].event
    pieces[2].event["packet"]["tokens"] = None
    case("impossible-index", "Indices that are not below the codebook's size: nothing else is wrong.", pieces)


def document(name: str) -> Json:
    """The JSON of a file."""
    what, pieces, told = CASES[name]
    formats: list[Json] = []
    events: list[Json] = []
    at = 0
    for data, event in pieces:
        if event is not None:
            event = copy.deepcopy(event)
            for kind in {"header", "packet", "end"} & event.keys():
                event[kind] = {"at": at, **event[kind]}
            if "header" in event:
                format = dict.fromkeys(NULLABLE) | event["header"]["format"]
                if format not in formats:
                    formats.append(format)
                event["header"]["format"] = formats.index(format)
            events.append(event)
        at += len(data)
    return {"what": what, "bytes": at, **told, "formats": formats, "events": events}


def text(document: Json) -> str:
    """JSON with an event per line."""
    lines = []
    for key, value in document.items():
        if key in ("formats", "events") and value:
            rows = ",\n    ".join(json.dumps(row, ensure_ascii=False) for row in value)
            lines.append(f"  {json.dumps(key)}: [\n    {rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(folder: Path) -> None:
    for name, (_, pieces, _) in CASES.items():
        (folder / f"{name}.vidtok").write_bytes(b"".join(piece.data for piece in pieces))
        (folder / f"{name}.json").write_text(text(document(name)), encoding="utf-8")


for make in (good, joined, lost, damaged, newer, impossible):
    make()
if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
