"""Pieces of `.vidtok` files: their bytes by the rules of docs/stream.md, and what a reader must say of each.

No reader or writer of the project has a part in it.
"""

import copy
import json
import struct
import zlib
from fractions import Fraction
from itertools import accumulate
from math import ceil, prod
from typing import Any, NamedTuple

Json = dict[str, Any]

UNKNOWN_TIME = (1 << 64) - 1
SECOND = 1_000_000_000
START, END_OF_STREAM, OFFSETS, SEGMENT_END = 1, 2, 4, 8

CAUSAL: Json = {
    "model": "conformance",
    "tokenizer": "0123456789abcdef" * 4,
    "regularizer": "fsq",
    "levels": [8, 8, 8, 8, 8],
    "codebook-size": 32768,
    "token-type": "uint16",
    "coding": "packed",
    "grid-width": 2,
    "grid-height": 1,
    "time-factor": 4,
    "space-factor": 8,
    "causal": True,
    "width": 16,
    "height": 8,
    "framerate": "30/1",
    "pixel-aspect-ratio": "1/1",
}


def changed(format: Json, **changes: Any) -> Json:
    """`format` with other values; `None` takes a key out. Keys are in the order of docs/stream.md."""
    order = [*CAUSAL, "channels", "colorimetry"]
    order.insert(order.index("token-type"), order.pop(order.index("channels")))
    fields = format | {key.replace("_", "-"): value for key, value in changes.items()}
    return {key: fields[key] for key in order if fields.get(key) is not None}


WINDOWS = changed(CAUSAL, causal=False)
LARGE = changed(CAUSAL, levels=[8] * 6, codebook_size=8**6, token_type="uint32")
ODD = changed(
    CAUSAL,
    model='für "Tests"',
    levels=[5],
    codebook_size=5,
    grid_width=5,
    grid_height=3,
    width=37,
    height=20,
    pixel_aspect_ratio="16/15",
)
FLOAT32 = changed(
    CAUSAL, regularizer="kl", levels=None, codebook_size=None, channels=4, token_type="float32", colorimetry="bt709"
)
FLOAT16 = changed(FLOAT32, token_type="float16")


class Piece(NamedTuple):
    """Bytes of a file, and what a reader says when it comes to them."""

    data: bytes
    event: Json | None = None


# The bytes.


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def header_bytes(fields: Json | str, version: int = 1) -> bytes:
    text = fields if isinstance(fields, str) else json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    front = b"\x89VIDTOK" + struct.pack("<BI", version, len(text.encode())) + text.encode()
    return front + crc(front)


def packet_bytes(
    header: bytes,
    flags: int,
    n: int,
    real: int,
    times: tuple[int, int],
    offsets: list[int],
    payload: bytes,
    more: bytes,
) -> bytes:
    """`more`: the packet header's fields behind those of version 1.0."""
    body = struct.pack(f"<{len(offsets)}Q", *offsets) + payload
    front = b"\x89VTP" + struct.pack("<HH", 48 + len(more), flags) + header[-4:]
    front += struct.pack("<IIIQQ", n, real, len(payload), *times) + crc(body)
    return front + crc(front + bytes(4) + more) + more + body


def values(format: Json, n: int, seed: int) -> list[Any]:
    """Tokens of n latent frames, one after the other: the largest index is among them; floats are eighths."""
    count = n * format["grid-height"] * format["grid-width"] * format.get("channels", 1)
    if format["regularizer"] == "kl":
        return [(seed * 100 + i) % 512 / 8 - 32 for i in range(count)]
    size = prod(format["levels"])
    return [size - 1 if i == seed % count else (seed * 7919 + i * 104_729) % size for i in range(count)]


def payload_of(format: Json, tokens: list[Any]) -> bytes:
    if format["regularizer"] == "kl":
        return struct.pack(f"<{len(tokens)}{'e' if format['token-type'] == 'float16' else 'f'}", *tokens)
    bits = (prod(format["levels"]) - 1).bit_length()
    whole = sum(token << i * bits for i, token in enumerate(tokens))
    return whole.to_bytes((len(tokens) * bits + 7) // 8, "little")


# What a reader says of them.


def shaped(format: Json, tokens: list[Any]) -> list[Any]:
    """Nested lists `[n][grid-height][grid-width]`, for kl with channels."""
    sizes = [format["grid-width"], format["grid-height"]]
    if "channels" in format:
        sizes.insert(0, format["channels"])
    for size in sizes:
        tokens = [tokens[i : i + size] for i in range(0, len(tokens), size)]
    return tokens


def frames(format: Json, real: int, pts: int | None, duration: int | None, offsets: list[int] | None) -> list[Any]:
    """PTS and duration of each real frame, `None` where not known."""
    rate = Fraction(format["framerate"])
    if pts is None:
        return [[None, None]] * real
    if offsets is None and rate:
        first = ceil(pts * rate / SECOND)
        offsets = [int((first + i) * SECOND / rate) - int(first * SECOND / rate) for i in range(1, real)]
    elif offsets is None and real == 1:
        offsets = []
    elif offsets is None:
        if duration is None:
            return [[pts, None]] + [[None, None]] * (real - 1)
        offsets = [i * duration // real for i in range(1, real)]
    starts = [pts, *(pts + offset for offset in offsets)]
    ends = [*starts[1:], None if duration is None else pts + duration]
    return [[start, None if end is None else end - start] for start, end in zip(starts, ends, strict=True)]


def hole(loss: str, latent_frames: int | None = None) -> Piece:
    return Piece(b"", {"hole": {"loss": loss, "latent-frames": latent_frames}})


def skipped(data: bytes) -> Piece:
    """Bytes that a reader finds nothing in."""
    return Piece(data, {"skipped": len(data)})


def cut(data: bytes) -> Piece:
    """Bytes of something whose end is not there."""
    return Piece(data, {"cut": len(data)})


def error(data: bytes, kind: str, says: str) -> Piece:
    """Bytes at which a reader gives up. `says`: what its message names."""
    return Piece(data, {"error": {"kind": kind, "says": says}})


def flipped(piece: Piece, at: int) -> bytes:
    """The bytes of `piece` with a bit changed."""
    data = bytearray(piece.data)
    data[at] ^= 1
    return bytes(data)


def uncertain(*pieces: Piece) -> list[Piece]:
    """Packets between a hole and the next segment start."""
    out = copy.deepcopy(pieces)
    for piece in out:
        assert piece.event
        piece.event["packet"]["uncertain"] = True
    return list(out)


def unsaid(piece: Piece) -> Piece:
    """A packet that a reader leaves out."""
    return Piece(piece.data)


class Stream:
    """A writer: each call gives the next piece of its stream."""

    def __init__(self, format: Json, stream_id: str | None = "a", segment: int = 0) -> None:
        self.id, self.segment = stream_id, segment - 1
        self.frames_shown = self.seed = 0
        self.totals, self.stream_totals = [0, 0], [0, 0]
        self.set_format(format)

    def set_format(self, format: Json) -> None:
        """The next segment has another format."""
        self.format = format
        self.fields = format if self.id is None else {**format, "stream-id": self.id}
        self.header_data = header_bytes(self.fields)

    def header(self) -> Piece:
        return Piece(self.header_data, {"header": {"stream-id": self.id, "format": self.format}})

    def packet(
        self,
        n: int = 1,
        *,
        start: bool = False,
        flags: int = 0,
        real: int | None = None,
        pts: int | None = -1,
        duration: int | None = -1,
        offsets: list[int] | None = None,
        tokens: list[Any] | None = None,
        extension: bytes = b"",
    ) -> Piece:
        """By default all frames are real, and on the framerate's grid."""
        format = self.format
        if start:
            self.segment, self.totals = (self.segment + 1) % (1 << 32), [0, 0]
        factor = format["time-factor"]
        real = (n * factor - (factor - 1 if start and format["causal"] else 0)) if real is None else real
        rate = Fraction(format["framerate"])
        if pts == -1:
            pts = int(self.frames_shown * SECOND / rate)
        if duration == -1:
            duration = int((self.frames_shown + real) * SECOND / rate) - int(self.frames_shown * SECOND / rate)
        tokens = values(format, n, self.seed) if tokens is None else tokens
        flags |= START * start | OFFSETS * (offsets is not None)
        numbers = b"" if self.id is None else struct.pack("<QI", self.totals[0], self.segment)
        times = tuple(UNKNOWN_TIME if time is None else time for time in (pts, duration))
        payload = payload_of(format, tokens)
        data = packet_bytes(self.header_data, flags, n, real, times, offsets or [], payload, numbers + extension)
        told = offsets and list(accumulate(offsets, max))
        event = {
            "segment-start": start,
            "segment-end": bool(flags & SEGMENT_END),
            "end-of-stream": bool(flags & END_OF_STREAM),
            "position": None if self.id is None else {"segment": self.segment, "latent-frame": self.totals[0]},
            "latent-frames": n,
            "real-frames": real,
            "pts": pts,
            "duration": duration,
            "offsets": told,
            "frames": frames(format, real, pts, duration, told),
            "tokens": shaped(format, tokens),
            "uncertain": False,
        }
        for totals in (self.totals, self.stream_totals):
            totals[:] = totals[0] + n, totals[1] + real
        self.frames_shown += real
        self.seed += 1
        return Piece(data, {"packet": event})

    def end(self, *, stream: bool = True, frames: int = 0, more: Json | None = None) -> Piece:
        """An end mark, of the stream or of the segment; it counts `frames` frames too many."""

        def counted(totals: list[int]) -> Json:
            return {"latent-frames": totals[0], "frames": totals[1] + frames}

        # Without a segment there is none to name.
        end: Json = {} if self.segment < 0 else {"segment-number": self.segment}
        end["segment"] = counted(self.totals)
        if stream:
            end["stream"] = counted(self.stream_totals)
        data = header_bytes({**self.fields, "end": end | (more or {})})
        return Piece(data, {"end": {"stream-id": self.id, "segment-number": None, "stream": None} | end})

    def segment_of(self, *counts: int, ends: bool = True) -> list[Piece]:
        """A stream header and packets of so many latent frames. The last one says that the segment ends."""
        last = len(counts) - 1
        packets = [
            self.packet(n, start=i == 0, flags=SEGMENT_END if ends and i == last else 0) for i, n in enumerate(counts)
        ]
        return [self.header(), *packets]
