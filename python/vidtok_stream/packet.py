"""Packets: a few latent frames with their time and a checksum."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import coding
from .errors import StreamError
from .format import TokenFormat
from .hole import Hole
from .limits import (
    MAX_HEADER_BYTES,
    MAX_INDICES,
    MAX_LATENT_FRAMES,
    MAX_LATENT_NUMBER,
    MAX_PAYLOAD_BYTES,
    MAX_TIME,
    MAX_TIME_FACTOR,
)
from .times import frame_times
from .tokens import Tokens, check

SYNC = b"\x89VTP"
OFFSET_BYTES = 8

_SEGMENT_START, _END_OF_STREAM, _FRAME_OFFSETS, _SEGMENT_END = 1, 2, 4, 8
_MUST_UNDERSTAND = 0xFF00
_NO_TIME = (1 << 64) - 1
# Sync word, header's length, flags; stream header's CRC, latent frames, real frames, payload's length; PTS, duration;
# the body's CRC and the header's own.
_LAYOUT = struct.Struct("<4s HH IIII QQ II")
# Behind them from version 1.1 on: number of the packet's first latent frame, number of the segment.
_LATENT_FRAME, _SEGMENT = struct.Struct("<Q"), struct.Struct("<I")
HEADER_BYTES = _LAYOUT.size
"""Length of a packet header of version 1.0, the shortest there is."""
_NUMBERED_BYTES = HEADER_BYTES + _LATENT_FRAME.size
_POSITION_BYTES = _NUMBERED_BYTES + _SEGMENT.size
_HEADER_CRC_AT = HEADER_BYTES - 4


@dataclass(slots=True)
class Behind:
    """What is known to come right behind a packet. A reader fills it in as it reads on."""

    goes_on: bool = False
    """The next packet or the segment's end comes: nothing is missing."""
    ended: bool = False
    """The stream's end comes, and nothing is missing in front of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Packet:
    """Some latent frames in a row, as the stream has them. `Packet.of` makes one of tokens."""

    format: TokenFormat
    latent_frames: int
    real_frames: int
    """Video frames to show: fewer than the latent frames stand for if the video or segment ended inside a group."""
    pts: int | None
    """PTS of the first video frame in nanoseconds; `None` where it is not known."""
    duration: int | None
    """Duration of the real video frames together in nanoseconds; `None` where it is not known."""
    offsets: tuple[int, ...] | None = None
    """Time from the PTS to each frame but the first. `None`: they are evenly spaced."""
    payload: bytes
    segment_start: bool = False
    """The packet decodes without those before it."""
    end_of_stream: bool = False
    """No later packet belongs to the stream."""
    segment_end: bool = False
    """The next packet, if there is one, starts a segment."""
    stream_id: str | None = None
    """The id of the packet's stream; `None` in streams of version 1.0."""
    latent_frame: int | None = None
    """Number of its first latent frame within its segment; `None` in streams of version 1.0. Writers count anew."""
    segment: int | None = None
    """Number of its segment within its stream; `None` in streams of version 1.0. Writers count anew."""
    hole: Hole | None = None
    """What is wrong between the packet before this one and this one."""
    uncertain: bool = False
    """Something before it in its segment is missing, so that it decodes to something wrong."""
    skipped_bytes: int = 0
    """Damaged bytes between the packet before this one and this one."""
    byte_position: int = 0
    """Where in its file the packet begins."""
    behind: Behind | None = field(default=None, repr=False)
    """What its reader has found behind it so far. `None` in a packet that was not read: nothing is missing then."""

    @classmethod
    def of(
        cls,
        format: TokenFormat,
        tokens: Tokens,
        *,
        segment_start: bool,
        real_frames: int | None = None,
        pts: int | None = None,
        duration: int | None = None,
        offsets: Sequence[int] | None = None,
        end_of_stream: bool = False,
        segment_end: bool = False,
        stream_id: str | None = None,
    ) -> "Packet":
        """A packet to write. `tokens`: `[n, h, w]` or `[n, h, w, channels]`. By default all frames are real."""
        check(tokens, format)
        return cls(
            format=format,
            latent_frames=len(tokens),
            real_frames=format.frames_of(len(tokens), segment_start) if real_frames is None else real_frames,
            pts=pts,
            duration=duration,
            offsets=None if offsets is None else tuple(offsets),
            payload=coding.encode(tokens, format),
            segment_start=segment_start,
            end_of_stream=end_of_stream,
            segment_end=segment_end,
            stream_id=stream_id,
        )

    @cached_property
    def tokens(self) -> Tokens:
        """`[n, h, w]` indices or `[n, h, w, channels]` floats."""
        try:
            return coding.decode([self.payload], self.format, self.latent_frames)
        except StreamError as error:
            raise StreamError(f"the packet at byte {self.byte_position}: {error}") from error

    @cached_property
    def frame_times(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """PTS and duration of each real frame in nanoseconds; -1 where the stream does not say it."""
        pts, durations = frame_times(self.pts, self.duration, self.offsets, self.real_frames, self.format.framerate)
        return np.array(pts, np.int64), np.array(durations, np.int64)

    def encode(self, stream_header_crc: int, latent_frame: int | None = None, segment: int | None = None) -> bytes:
        """The packet's bytes in a stream whose header has the checksum `stream_header_crc`.

        `latent_frame` and `segment` say where the packet belongs; without them it is a packet of version 1.0. A
        `StreamError` says that no reader would take it.
        """
        flags = self.segment_start * _SEGMENT_START | self.end_of_stream * _END_OF_STREAM
        flags |= (self.offsets is not None) * _FRAME_OFFSETS | self.segment_end * _SEGMENT_END
        header = PacketHeader(
            flags=flags,
            stream_header_crc=stream_header_crc,
            latent_frames=self.latent_frames,
            real_frames=self.real_frames,
            pts=self.pts,
            duration=self.duration,
            header_bytes=_header_bytes(latent_frame, segment),
            payload_bytes=len(self.payload),
            body_crc=0,
            latent_frame=latent_frame,
            segment=segment,
        )
        header.check_bounds()
        header.check(self.format)
        offsets = self.offsets or ()
        if len(offsets) * OFFSET_BYTES != header.offsets_bytes:
            raise _impossible(f"{len(offsets)} frame offsets for {self.real_frames} video frames")
        _check_offsets(offsets)
        if list(offsets) != sorted(offsets):
            raise _impossible("frame offsets that go back")
        body = struct.pack(f"<{len(offsets)}Q", *offsets) + self.payload
        return header._replace(body_crc=zlib.crc32(body)).encode() + body


class PacketHeader(NamedTuple):
    """What stands in front of a packet's frame offsets and payload."""

    flags: int
    stream_header_crc: int
    latent_frames: int
    real_frames: int
    pts: int | None
    duration: int | None
    header_bytes: int
    payload_bytes: int
    body_crc: int
    latent_frame: int | None
    segment: int | None

    @property
    def segment_start(self) -> bool:
        return bool(self.flags & _SEGMENT_START)

    @property
    def end_of_stream(self) -> bool:
        return bool(self.flags & _END_OF_STREAM)

    @property
    def segment_end(self) -> bool:
        return bool(self.flags & _SEGMENT_END)

    @property
    def offsets_bytes(self) -> int:
        return (self.real_frames - 1) * OFFSET_BYTES if self.flags & _FRAME_OFFSETS else 0

    @property
    def packet_bytes(self) -> int:
        return self.header_bytes + self.offsets_bytes + self.payload_bytes

    @staticmethod
    def length_of(start: bytes) -> int | None:
        """Length of the packet header whose first `HEADER_BYTES` bytes are `start`; `None` where it is damaged."""
        length = _LAYOUT.unpack(start)[1]
        return length if HEADER_BYTES <= length <= MAX_HEADER_BYTES else None

    @classmethod
    def decode(cls, data: bytes) -> "PacketHeader | None":
        """Reads the packet header `data`; `None` where its checksum does not hold."""
        _, length, flags, stream_crc, latent, real, payload, pts, duration, body_crc, crc = _LAYOUT.unpack_from(data)
        if _header_crc(data) != crc:
            return None
        if flags & _MUST_UNDERSTAND:
            raise StreamError(
                f"a packet needs a feature that this reader does not have (flags {flags & _MUST_UNDERSTAND:#06x}):"
                " use a newer one"
            )
        pts, duration = (None if time == _NO_TIME else time for time in (pts, duration))
        frame = _LATENT_FRAME.unpack_from(data, HEADER_BYTES)[0] if length >= _NUMBERED_BYTES else None
        segment = _SEGMENT.unpack_from(data, _NUMBERED_BYTES)[0] if length >= _POSITION_BYTES else None
        header = cls(flags, stream_crc, latent, real, pts, duration, length, payload, body_crc, frame, segment)
        header.check_bounds()
        return header

    def encode(self) -> bytes:
        """The packet header's bytes."""
        numbers = (self.stream_header_crc, self.latent_frames, self.real_frames, self.payload_bytes)
        times = (_NO_TIME if time is None else time for time in (self.pts, self.duration))
        header = _LAYOUT.pack(SYNC, self.header_bytes, self.flags, *numbers, *times, self.body_crc, 0)
        if self.latent_frame is not None:
            header += _LATENT_FRAME.pack(self.latent_frame)
        if self.segment is not None:
            header += _SEGMENT.pack(self.segment)
        crc = struct.pack("<I", _header_crc(header))
        return header[:_HEADER_CRC_AT] + crc + header[HEADER_BYTES:]

    def check_bounds(self) -> None:
        """Checks what needs no token format."""
        if not 1 <= self.latent_frames <= MAX_LATENT_FRAMES:
            raise _impossible(f"{self.latent_frames} latent frames, allowed are 1 to {MAX_LATENT_FRAMES}")
        if not 1 <= self.real_frames <= self.latent_frames * MAX_TIME_FACTOR:
            raise _impossible(f"{self.real_frames} video frames in {self.latent_frames} latent frames")
        if self.payload_bytes > MAX_PAYLOAD_BYTES:
            raise _impossible(f"a payload of {self.payload_bytes} bytes, allowed are {MAX_PAYLOAD_BYTES}")
        if not all(time is None or 0 <= time <= MAX_TIME for time in (self.pts, self.duration)):
            raise _impossible(f"a PTS or duration that is not within 0 to {MAX_TIME} ns")
        if self.flags & _FRAME_OFFSETS and self.pts is None:
            raise _impossible("frame offsets without a PTS")
        if self.latent_frame is not None:
            if self.latent_frame > MAX_LATENT_NUMBER:
                raise _impossible(f"latent frame {self.latent_frame} of a segment, the last may be {MAX_LATENT_NUMBER}")
            if self.segment_start != (self.latent_frame == 0):
                start = "a" if self.segment_start else "no"
                raise _impossible(f"{start} segment start at latent frame {self.latent_frame} of its segment")

    def check(self, format: TokenFormat) -> None:
        """Checks that the packet is one that a stream of `format` can have."""
        length = format.payload_length(self.latent_frames)
        if not length.allows(self.payload_bytes):
            raise _impossible(
                f"a payload of {self.payload_bytes} bytes, {self.latent_frames} latent frames take {length}"
            )
        cells = format.grid_width * format.grid_height
        if format.levels is not None and self.latent_frames * cells > MAX_INDICES:
            raise _impossible(
                f"{self.latent_frames} latent frames of {cells} indices, allowed are {MAX_INDICES} indices in a packet"
            )
        frames = format.frames_of(self.latent_frames, self.segment_start)
        if self.real_frames > frames:
            raise _impossible(f"{self.real_frames} video frames, {self.latent_frames} latent frames make {frames}")

    def packet(self, body: bytes, format: TokenFormat, **read: Any) -> Packet:
        """The packet with this header and `body`, whose length and checksum were checked.

        `read`: fields of the packet that its reader knows.
        """
        offsets = None
        if self.flags & _FRAME_OFFSETS:
            offsets = struct.unpack_from(f"<{self.real_frames - 1}Q", body)
            _check_offsets(offsets)
            # No frame is shown before the one in front of it.
            offsets = tuple(accumulate(offsets, max))
        return Packet(
            format=format,
            latent_frames=self.latent_frames,
            real_frames=self.real_frames,
            pts=self.pts,
            duration=self.duration,
            offsets=offsets,
            payload=body[self.offsets_bytes :],
            segment_start=self.segment_start,
            end_of_stream=self.end_of_stream,
            segment_end=self.segment_end,
            latent_frame=self.latent_frame,
            segment=self.segment,
            **read,
        )


def frames_per_latent(format: TokenFormat, latent_frames: int, real_frames: int, segment_start: bool) -> list[int]:
    """How many of a packet's real frames each of its latent frames stands for."""
    if latent_frames == 1:
        return [real_frames]
    counts = []
    for k in range(latent_frames):
        counts.append(min(format.frames_of(1, segment_start and k == 0), real_frames))
        real_frames -= counts[-1]
    return counts


def _header_bytes(latent_frame: int | None, segment: int | None) -> int:
    """Length of a packet header with these numbers."""
    if latent_frame is None:
        return HEADER_BYTES
    return _NUMBERED_BYTES if segment is None else _POSITION_BYTES


def _header_crc(header: bytes) -> int:
    """CRC-32 of a packet header, with its own field taken as zero."""
    return zlib.crc32(header[_HEADER_CRC_AT + 4 :], zlib.crc32(bytes(4), zlib.crc32(header[:_HEADER_CRC_AT])))


def _check_offsets(offsets: Sequence[int]) -> None:
    if offsets and not 0 <= min(offsets) <= max(offsets) <= MAX_TIME:
        raise _impossible(f"a frame offset that is not within 0 to {MAX_TIME} ns")


def _impossible(reason: str) -> StreamError:
    return StreamError(f"impossible packet: {reason}")
