"""Some frames of a file, and what must be decoded before them."""

from typing import BinaryIO, NamedTuple

from .continuity import Continuity, Link
from .errors import StreamError
from .header import MAGIC, START_BYTES, StreamHeader
from .packet import HEADER_BYTES, SYNC, PacketHeader


class SegmentPlace(NamedTuple):
    """Where a segment begins in a file."""

    header_position: int
    """Where its stream header begins."""
    packet_position: int
    """Where its first packet begins."""
    first_frame: int
    """Number of its first video frame in the file."""


def find_segment(file: BinaryIO, frame: int) -> SegmentPlace | None:
    """The segment of a video frame; `None` where it cannot be told by intact headers of packets in a row.

    Goes from packet header to packet header, and does not read what is between them.
    """
    walk = _Walk(file)
    try:
        return walk.find(frame)
    except StreamError:
        return None


class _Walk:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self._frames = 0
        self._bytes = b""
        self._header: StreamHeader | None = None
        self._header_at = 0
        self._checksum = -1
        self._continuity = Continuity()

    def find(self, frame: int) -> SegmentPlace | None:
        segment = None
        while self._frames <= frame:
            self._file.seek(self._at)
            start = self._file.read(HEADER_BYTES)
            if start.startswith(MAGIC):
                if not self._take_header(start):
                    return None
            elif not start.startswith(SYNC) or len(start) < HEADER_BYTES or (packet := self._packet(start)) is None:
                return None
            else:
                if packet.segment_start:
                    segment = SegmentPlace(self._header_at, self._at, self._frames)
                self._frames += packet.real_frames
                self._at += packet.packet_bytes
        return segment

    def _take_header(self, start: bytes) -> bool:
        length = StreamHeader.length_of(start[:START_BYTES]) if len(start) >= START_BYTES else None
        if length is None:
            return False
        data = start[:length] + self._file.read(max(0, length - len(start)))
        position, self._at = self._at, self._at + length
        if data == self._bytes:
            return True
        header = StreamHeader.decode(data) if len(data) == length else None
        if header is None:
            return False
        if header.end:
            return self._continuity.end(header) is None
        self._bytes, self._header, self._header_at = data, header, position
        self._checksum = StreamHeader.checksum(data)
        self._continuity.header(header, self._checksum)
        return True

    def _packet(self, start: bytes) -> PacketHeader | None:
        """The packet header that begins with `start`; `None` where it is damaged or does not follow."""
        length = PacketHeader.length_of(start)
        if length is None or self._header is None:
            return None
        data = start[:length] + self._file.read(max(0, length - len(start)))
        header = PacketHeader.decode(data) if len(data) == length else None
        if header is None or header.stream_header_crc != self._checksum:
            return None
        header.check(self._header.format)
        place = self._continuity.packet(header)
        return None if place.hole or place.link not in (Link.FOLLOWS, Link.STARTS) else header
