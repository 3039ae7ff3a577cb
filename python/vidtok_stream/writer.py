"""Writes a byte stream."""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import BinaryIO

from .errors import StreamError
from .format import TokenFormat
from .header import End, StreamHeader, Totals
from .hole import Loss
from .packet import Behind, Packet
from .stream import Stream

_NUMBERS = 1 << 32


def write(
    target: str | os.PathLike[str] | BinaryIO, content: Stream | Iterable[Packet], *, stream_id: str | None = None
) -> None:
    """Writes a stream, or packets one by one, to a path or an open binary file.

    Packets may come from `packets()` of another file, or of several, which then are joined. `stream_id` tells the
    stream apart from others; by default it is that of the content, or random.

    What is known to be missing stays so: the written stream has the gaps of the content, and an end only if the content
    has one.
    """
    opened = open(target, "wb") if isinstance(target, str | os.PathLike) else nullcontext(target)
    with opened as file:
        for piece in _encode(content, stream_id):
            file.write(piece)


class Writer:
    """Makes the bytes of one stream, numbers its packets, and puts a stream header in front of every segment.

    The format may change where a segment starts. Call `end` behind the last packet.
    """

    def __init__(self, stream_id: str | None = None) -> None:
        self.stream_id = secrets.token_hex(16) if stream_id is None else stream_id
        self._format: TokenFormat | None = None
        self._header = b""
        self._in_segment = False
        self._segment_number: int | None = None
        self._segment = Totals()
        self._stream = Totals()
        # What is known behind the latest packet.
        self._behind: Behind | None = None

    def write(self, packet: Packet) -> bytes:
        """The bytes of `packet`, and in front of them those of the end mark and stream header that it needs."""
        if packet.uncertain:
            raise StreamError(
                f"latent frames are missing in front of the packet read at byte {packet.byte_position}: it is of no use"
            )
        front = b""
        number, totals = self._segment_number, self._segment
        header = self._header
        if packet.segment_start:
            lost = self._is_lost_before(packet)
            # A number that is left out, and a segment without an end, tell readers that something is missing.
            front = b"" if lost else self.end_segment()
            number, totals = 0 if number is None else (number + 1 + lost) % _NUMBERS, Totals()
            if packet.format != self._format:
                header = StreamHeader(format=packet.format, stream_id=self.stream_id).encode()
            front += header
        elif packet.format != self._format or not self._in_segment:
            raise StreamError(
                "a packet has to start a segment if it is the first, has a new format, or follows a segment's end"
            )
        data = packet.encode(StreamHeader.checksum(header), totals.latent_frames, number)
        self._format, self._header, self._segment_number = packet.format, header, number
        self._segment = totals.plus(packet.latent_frames, packet.real_frames)
        self._stream = self._stream.plus(packet.latent_frames, packet.real_frames)
        self._in_segment = not packet.segment_end and not packet.end_of_stream
        self._behind = packet.behind
        return front + data

    def _is_lost_before(self, packet: Packet) -> bool:
        if packet.hole and packet.hole.loss is not Loss.REPEATED:
            return True
        return self._behind is not None and not (self._behind.goes_on or self._behind.ended)

    def end_segment(self) -> bytes:
        """The bytes of an end mark behind the segment; empty if the last packet has ended the segment."""
        if not self._in_segment:
            return b""
        self._in_segment = False
        return self._mark(None)

    def end(self) -> bytes:
        """The bytes of the stream's end mark; empty if nothing was written."""
        self._in_segment = False
        return self._mark(self._stream)

    def _mark(self, stream: Totals | None) -> bytes:
        if self._format is None:
            return b""
        end = End(segment_number=self._segment_number, segment=self._segment, stream=stream)
        return StreamHeader(format=self._format, stream_id=self.stream_id, end=end).encode()


def _encode(content: Stream | Iterable[Packet], stream_id: str | None) -> Iterator[bytes]:
    packets = content.packets() if isinstance(content, Stream) else content
    # Packets without a stream become a stream of their own.
    own = secrets.token_hex(16)
    writer: Writer | None = None
    behind: Behind | None = None
    for packet in packets:
        wanted = stream_id or packet.stream_id or own
        if writer is None or (packet.segment_start and wanted != writer.stream_id):
            if writer:
                yield _tail(writer, behind)
            writer = Writer(wanted)
        yield writer.write(packet)
        behind = packet.behind
    if writer:
        yield _tail(writer, behind)


def _tail(writer: Writer, behind: Behind | None) -> bytes:
    """The bytes of the end, if the content has one."""
    if behind is None or behind.ended:
        return writer.end()
    return writer.end_segment() if behind.goes_on else b""
