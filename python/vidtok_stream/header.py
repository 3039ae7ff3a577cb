"""Stream headers and end marks."""

import re
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from .errors import StreamError
from .fields import Fields, impossible, to_json
from .format import TokenFormat
from .limits import MAX_JSON_BYTES, MAX_LATENT_NUMBER, MAX_STREAM_ID, MAX_TIME_FACTOR

MAGIC = b"\x89VIDTOK"
VERSION = 1
"""The major version written, and the only one read."""

# Magic, version, length of the JSON.
_START = struct.Struct("<7s B I")
_CRC = struct.Struct("<I")
START_BYTES = _START.size
"""Bytes that a stream header's length is in."""


class Totals(NamedTuple):
    """The number of latent frames and frames in a segment or a stream."""

    latent_frames: int = 0
    frames: int = 0
    """Real video frames."""

    def plus(self, latent_frames: int, frames: int) -> "Totals":
        return Totals(self.latent_frames + latent_frames, self.frames + frames)

    def to_fields(self) -> dict[str, object]:
        return {"latent-frames": self.latent_frames, "frames": self.frames}

    @classmethod
    def from_fields(cls, fields: Fields) -> "Totals":
        maximum = MAX_LATENT_NUMBER
        return cls(fields.integer("latent-frames", maximum), fields.integer("frames", maximum * MAX_TIME_FACTOR))


@dataclass(frozen=True, kw_only=True)
class End:
    """What an end mark says."""

    segment: Totals
    """Totals of the segment that ends here."""
    segment_number: int | None = None
    """The segment's number within the stream."""
    stream: Totals | None = None
    """Totals of the whole stream; `None` where it continues."""

    def __post_init__(self) -> None:
        whole = self.stream or self.segment
        if not (
            self.segment.latent_frames <= whole.latent_frames <= MAX_LATENT_NUMBER
            and self.segment.frames <= whole.frames
            and self.segment.frames <= self.segment.latent_frames * MAX_TIME_FACTOR
            and whole.frames <= whole.latent_frames * MAX_TIME_FACTOR
        ):
            raise impossible(
                f"an end mark of {self.segment.latent_frames} latent frames and {self.segment.frames} video frames in a"
                f" segment, of {whole.latent_frames} and {whole.frames} in all"
            )

    def to_fields(self) -> dict[str, object]:
        number = {} if self.segment_number is None else {"segment-number": self.segment_number}
        stream = {} if self.stream is None else {"stream": self.stream.to_fields()}
        return {**number, "segment": self.segment.to_fields(), **stream}

    @classmethod
    def from_fields(cls, fields: Fields) -> "End":
        return cls(
            segment_number=fields.integer("segment-number") if fields.has("segment-number") else None,
            segment=Totals.from_fields(fields.object("segment")),
            stream=Totals.from_fields(fields.object("stream")) if fields.has("stream") else None,
        )


@dataclass(frozen=True, kw_only=True)
class StreamHeader:
    """A stream header, which stands in front of a segment; with `end` an end mark, which stands behind one."""

    format: TokenFormat
    stream_id: str | None = None
    """Tells streams apart; `None` in streams of version 1.0."""
    end: End | None = None

    def __post_init__(self) -> None:
        if self.stream_id is not None and not re.fullmatch(rf"[!-~]{{1,{MAX_STREAM_ID}}}", self.stream_id):
            # Not the id itself: it may be long, and hold anything.
            raise impossible(f"a stream-id has 1 to {MAX_STREAM_ID} visible ASCII characters, without spaces")

    @classmethod
    def from_json(cls, data: bytes) -> "StreamHeader":
        """Reads the JSON text of a stream header, which may hold anything."""
        fields = Fields.of(data)
        return cls(
            format=TokenFormat.from_fields(fields),
            stream_id=fields.text("stream-id") if fields.has("stream-id") else None,
            end=End.from_fields(fields.object("end")) if fields.has("end") else None,
        )

    @staticmethod
    def length_of(start: bytes) -> int | None:
        """Length of the stream header whose first `START_BYTES` bytes are `start`; `None` where it is damaged."""
        _, version, json_bytes = _START.unpack(start)
        return None if version < VERSION or json_bytes > MAX_JSON_BYTES else START_BYTES + json_bytes + _CRC.size

    @staticmethod
    def refuse_newer(start: bytes) -> None:
        """Raises a `StreamError` if the stream header that begins with `start` is of an unknown major version."""
        version = start[len(MAGIC)]
        if version > VERSION:
            raise StreamError(
                f"the stream is of version {version} of the VidTok byte stream; this reader knows version {VERSION}:"
                " use a newer one"
            )

    @classmethod
    def decode(cls, data: bytes) -> "StreamHeader | None":
        """Reads the stream header `data`; `None` where its checksum does not hold."""
        body = data[: -_CRC.size]
        if zlib.crc32(body) != cls.checksum(data):
            return None
        cls.refuse_newer(data)
        return cls.from_json(body[START_BYTES:])

    @staticmethod
    def checksum(data: bytes) -> int:
        """The checksum in a stream header's bytes: its packets name it by this."""
        return _CRC.unpack(data[-_CRC.size :])[0]

    def encode(self) -> bytes:
        """The header's bytes."""
        fields = self.format.to_fields()
        if self.stream_id is not None:
            fields["stream-id"] = self.stream_id
        if self.end is not None:
            fields["end"] = self.end.to_fields()
        json = to_json(fields)
        if len(json) > MAX_JSON_BYTES:
            raise StreamError(f"{len(json)} bytes of JSON, allowed are {MAX_JSON_BYTES}; shorten the model's name")
        header = _START.pack(MAGIC, VERSION, len(json)) + json
        return header + _CRC.pack(zlib.crc32(header))
