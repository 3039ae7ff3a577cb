"""Stream headers and end marks."""

import re
import zlib
from dataclasses import dataclass
from typing import NamedTuple

from .errors import StreamError
from .fields import Fields, impossible, to_json
from .format import MAX_JSON_BYTES, TokenFormat
from .packet import MAX_LATENT_NUMBER, MAX_TIME_FACTOR

MAGIC = b"\x89VIDTOK"
VERSION = 1
MAX_STREAM_ID = 64


class Totals(NamedTuple):
    """How much there was."""

    latent_frames: int = 0
    frames: int = 0
    """Real video frames."""

    def plus(self, latent_frames: int, frames: int) -> "Totals":
        return Totals(self.latent_frames + latent_frames, self.frames + frames)

    def to_fields(self) -> dict[str, object]:
        return {"latent-frames": self.latent_frames, "frames": self.frames}

    @classmethod
    def from_fields(cls, fields: Fields) -> "Totals":
        most = MAX_LATENT_NUMBER
        return cls(fields.integer("latent-frames", most), fields.integer("frames", most * MAX_TIME_FACTOR))


@dataclass(frozen=True, kw_only=True)
class End:
    """What an end mark says."""

    segment: Totals
    """What the segment had that ends here."""
    segment_number: int | None = None
    """The segment's number within the stream."""
    stream: Totals | None = None
    """What the whole stream had; `None` where it goes on."""

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
    """What stands in front of a segment, and with `end` behind one."""

    format: TokenFormat
    stream_id: str | None = None
    """Tells apart what several writers have written; `None` in streams of version 1.0."""
    end: End | None = None

    def __post_init__(self) -> None:
        if self.stream_id is not None and not re.fullmatch(rf"[!-~]{{1,{MAX_STREAM_ID}}}", self.stream_id):
            # Not the id itself: it may be long, and hold anything.
            raise impossible(f"a stream-id has 1 to {MAX_STREAM_ID} visible ASCII characters, without spaces")

    @classmethod
    def from_json(cls, data: bytes) -> "StreamHeader":
        """Reads the JSON object of a stream header, whatever it may hold."""
        fields = Fields.of(data)
        return cls(
            format=TokenFormat.from_fields(fields),
            stream_id=fields.text("stream-id") if fields.has("stream-id") else None,
            end=End.from_fields(fields.object("end")) if fields.has("end") else None,
        )

    def encode(self) -> bytes:
        """The header's bytes. The last four are its checksum."""
        fields = self.format.to_fields()
        if self.stream_id is not None:
            fields["stream-id"] = self.stream_id
        if self.end is not None:
            fields["end"] = self.end.to_fields()
        json = to_json(fields)
        if len(json) > MAX_JSON_BYTES:
            raise StreamError(f"{len(json)} bytes of JSON, allowed are {MAX_JSON_BYTES}; shorten the model's name")
        header = MAGIC + bytes([VERSION]) + len(json).to_bytes(4, "little") + json
        return header + zlib.crc32(header).to_bytes(4, "little")
