"""Reads a byte stream, which may hold anything."""

import io
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import BinaryIO, Literal, NamedTuple, get_args

from .continuity import Continuity, Link
from .errors import StreamError
from .excerpt import find_segment
from .format import TokenFormat
from .header import MAGIC, START_BYTES, StreamHeader
from .hole import Hole, Loss
from .limits import CHECKED_PER_BYTE, SPARE_CHECKED
from .packet import HEADER_BYTES, SYNC, Behind, Packet, PacketHeader

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
OnLoss = Literal["wait", "continue"]

# What magic and sync word start with.
MARK = b"\x89V"
PIECE_BYTES = 1 << 20


class Place(NamedTuple):
    """Where a packet of a file ends, and what was read up to there: numbers, to go on from another time."""

    header_position: int
    """Where the stream header of the packet begins."""
    packet_position: int
    """Where the packet begins."""
    totals: tuple[int, ...]
    """What `Continuity.totals` says."""


def packets(source: Source, wait: Callable[[], bool] | None = None, *, on_loss: OnLoss = "wait") -> "PacketReader":
    """The packets of a file (its path, its bytes, or an open binary file) one by one.

    At the end of a file that still grows, the reader calls `wait`, which sleeps a while and returns whether to look
    again. A pipe or socket needs none, and each packet is there as soon as its bytes are.

    Where something is missing, the reader by default leaves out the packets up to the next segment start. With
    `on_loss="continue"` it gives them, and they are `uncertain`.
    """
    return PacketReader(source, wait, on_loss=on_loss)


class PacketReader(Iterator[Packet]):
    """The packets of a stream; holds a megabyte and one packet at a time."""

    def __init__(self, source: Source, wait: Callable[[], bool] | None = None, *, on_loss: OnLoss = "wait") -> None:
        if on_loss not in get_args(OnLoss):
            raise ValueError(f'on_loss is "wait" or "continue", not {on_loss!r}')
        self.name = "stream"
        """The file's name, for messages."""
        self.format: TokenFormat | None = None
        """What the latest stream header says."""
        self.stream_id: str | None = None
        """The id in the latest stream header; `None` in streams of version 1.0."""
        self.holes: list[Hole] = []
        """Holes so far. Those in front of an end mark are here only."""
        self.skipped_bytes = 0
        """Damaged bytes so far. Those behind the last packet are counted at the end."""
        self.cut_bytes = 0
        """Bytes at the end that belong to something whose end is missing; known at the end."""
        self._own_file = isinstance(source, str | os.PathLike)
        if isinstance(source, str | os.PathLike):
            self.name = os.fspath(source)
            self._file: BinaryIO = open(source, "rb")  # closed at the packets' end
        elif isinstance(source, bytes | bytearray | memoryview):
            self._file = io.BytesIO(source)
        elif not hasattr(source, "read"):
            raise TypeError(f"a stream is read from a path, bytes or an open binary file, not {type(source).__name__}")
        else:
            self._file = source
        # Returns what a pipe has at once; read() would wait for all bytes that it is asked for.
        self._read_some = getattr(self._file, "read1", self._file.read)
        self._wait = wait
        self._at_end = False
        self._buffer = bytearray()
        self._at = 0
        self._position = 0
        self._checked_in_vain = 0
        self._header = b""
        self._checksum = -1
        self._header_position = 0
        self._packet_position = 0
        self._continue = on_loss == "continue"
        self._continuity = Continuity()
        # Bytes that were skipped since the latest packet, and holes.
        self._skipped = 0
        self._new_holes: list[Hole] = []
        # What is known behind the latest packet.
        self._behind = Behind()
        self._items = self._scan()

    @property
    def ended(self) -> bool:
        """Whether what was read last is the end of a stream.

        If the file ends otherwise, its writer was stopped, its end was cut off, or a writer of version 1.0 did not mark
        it.
        """
        return self._continuity.ended

    def __next__(self) -> Packet:
        while not isinstance(item := next(self._items), Packet):
            pass
        return item

    def items(self) -> Iterator[Packet | StreamHeader]:
        """Packets and end marks, in order."""
        return self._items

    @property
    def bytes_read(self) -> int:
        """Bytes of the file so far, those read ahead included."""
        return self._position + len(self._buffer) - self._at

    def place(self) -> Place:
        """Where the packet ends that was given last."""
        return Place(self._header_position, self._packet_position, self._continuity.totals())

    def resume(self, place: Place) -> None:
        """Goes on behind the packet of `place`, in a file that can be sought in. Call it before reading."""
        wait, self._wait = self._wait, None
        try:
            self.begin_at(place.header_position, place.packet_position)
            _, header = self._packet_header()
            self._continuity.resume(header, place.totals)
            self._seek(place.packet_position + header.packet_bytes)
        except (_Damaged, _Cut, OSError, StreamError) as error:
            at = place.packet_position
            raise StreamError(f"{self.name}: no packet at byte {at}: it is not the file that was followed") from error
        self._wait = wait

    def begin_at(self, header_position: int, packet_position: int) -> None:
        """Begins at a packet, with the stream header that is elsewhere. Call it before reading."""
        self._seek(header_position)
        self._need(len(MAGIC))
        if self._peek(len(MAGIC)) != MAGIC or self._take_header(0):
            raise _Damaged(0)
        self._seek(packet_position)

    def begin_at_frame(self, frame: int) -> int | None:
        """Begins at the segment of a video frame; returns the number of the segment's first frame.

        `None`: something is damaged or missing, so that all must be read. Call it before reading.
        """
        segment = find_segment(self._file, frame)
        if segment is None:
            return None
        try:
            self.begin_at(segment.header_position, segment.packet_position)
        except (_Damaged, _Cut):
            return None  # the file has changed meanwhile
        return segment.first_frame

    def _seek(self, position: int) -> None:
        self._file.seek(position)
        self._buffer.clear()
        self._at, self._position, self._at_end = 0, position, False

    def __enter__(self) -> "PacketReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends reading; closes the file if it was opened here."""
        self._items.close()
        if self._own_file:
            self._file.close()

    def _scan(self) -> Generator[Packet | StreamHeader, None, None]:
        passed, cut = 0, False
        while self._has(1):
            position = self._position
            try:
                item = self._take(passed)
            except _Damaged as damage:
                passed += self._pass_garbage(damage.checked)
                continue
            except _Cut:
                # Bytes may be missing inside and not at the end: there may be whole packets in the rest.
                cut = True
                passed += self._pass_garbage(0)
                continue
            except StreamError as error:
                raise StreamError(f"{self.name}, byte {position}: {error}") from error
            self.skipped_bytes += passed
            self._skipped += passed
            passed, cut = 0, False
            if item is not None:
                self._tell_behind(item)
                yield item
        if cut:
            self.cut_bytes = passed
        else:
            self.skipped_bytes += passed
        if passed:
            self._behind.goes_on = False
        if self._own_file:
            self._file.close()
        if self.format is None:
            raise StreamError(
                f"{self.name}: not a VidTok stream, or cut off: no whole stream header in {self._position} bytes"
            )

    def _take(self, passed: int) -> Packet | StreamHeader | None:
        """Reads the next stream header or packet; returns the packet unless it is left out, or the end mark.

        `passed`: bytes that were skipped right in front of it.
        """
        while True:
            start = self._peek(len(MAGIC))
            if start.startswith(SYNC):
                return self._take_packet(passed)
            if start == MAGIC:
                return self._take_header(passed)
            if not SYNC.startswith(start) and not MAGIC.startswith(start):
                raise _Damaged(0)
            self._need(len(start) + 1)

    def _take_header(self, passed: int) -> StreamHeader | None:
        self._need(START_BYTES)
        start = self._peek(START_BYTES)
        if self._position == 0:
            # Further on this may be damage, which only the header's checksum shows.
            StreamHeader.refuse_newer(start)
        length = StreamHeader.length_of(start)
        if length is None:
            raise _Damaged(0)
        self._need(length)
        header = self._peek(length)
        mark = None
        if header != self._header:
            read = StreamHeader.decode(header)
            if read is None:
                raise _Damaged(length)
            # An end mark says what the stream is only if no stream header came before.
            if not read.end or self.format is None:
                self.format, self.stream_id = read.format, read.stream_id
            if read.end:
                mark = read
            else:
                self._header, self._checksum = header, StreamHeader.checksum(header)
                self._header_position = self._position
                self._continuity.header(read, self._checksum)
        if passed:
            self._continuity.lost()
        self._pass(length)
        if mark is None:
            return None
        hole = self._continuity.end(mark)
        self._note(hole)
        return None if hole and hole.loss in (Loss.REPEATED, Loss.OTHER_STREAM) else mark

    def _take_packet(self, passed: int) -> Packet | None:
        header_bytes, header = self._packet_header()
        assert self.format, "the packet's stream header was read"
        length = header.packet_bytes
        self._need(length)
        body = self._peek(length, header_bytes)
        if zlib.crc32(body) != header.body_crc:
            raise _Damaged(length)
        if passed:
            self._continuity.lost()
        link, hole = self._continuity.packet(header)
        self._note(hole)
        packet = header.packet(
            body,
            self.format,
            stream_id=self.stream_id,
            uncertain=link is Link.UNCERTAIN,
            hole=self._new_holes[0] if self._new_holes else None,
            skipped_bytes=self._skipped + passed,
            byte_position=self._position,
            # Nothing numbers the packets of version 1.0, so that none seems to be missing.
            behind=Behind(goes_on=header.latent_frame is None, ended=header.end_of_stream),
        )
        self._packet_position = self._position
        self._pass(length)
        left_out = link is Link.REPEATED or (link is Link.UNCERTAIN and not self._continue)
        return None if left_out else packet

    def _packet_header(self) -> tuple[int, PacketHeader]:
        """The length and the fields of the packet header that comes next; does not pass it."""
        self._need(HEADER_BYTES)
        start = self._peek(HEADER_BYTES)
        header_bytes = PacketHeader.length_of(start)
        if header_bytes is None or not start.startswith(SYNC):
            raise _Damaged(0)
        self._need(header_bytes)
        header = PacketHeader.decode(self._peek(header_bytes))
        if header is None:
            raise _Damaged(header_bytes)
        if self.format is None or header.stream_header_crc != self._checksum:
            # Without its stream header, the packet cannot be read.
            raise _Damaged(0)
        header.check(self.format)
        return header_bytes, header

    def _note(self, hole: Hole | None) -> None:
        if hole:
            self.holes.append(hole)
            self._new_holes.append(hole)

    def _tell_behind(self, item: Packet | StreamHeader) -> None:
        """Notes that `item` comes behind the latest packet."""
        lossy = any(hole.loss is not Loss.REPEATED for hole in self._new_holes)
        self._behind.goes_on = not lossy
        if isinstance(item, Packet):
            assert item.behind
            self._behind = item.behind
            self._skipped, self._new_holes = 0, []
        elif self.ended:
            self._behind.ended = not lossy

    def _pass_garbage(self, checked: int) -> int:
        """Skips bytes after `checked` of them have failed a checksum; returns how many.

        A hostile stream may be full of headers that claim much and fail their checksums. Once too many bytes were
        checked for nothing, what fails is skipped whole and not searched.
        """
        self._checked_in_vain += checked
        if checked and self._checked_in_vain > SPARE_CHECKED + CHECKED_PER_BYTE * self._position:
            count = checked
        else:
            found = self._buffer.find(MARK, self._at + 1)
            if found < 0:
                # The last byte may be the first of a mark.
                found = max(len(self._buffer) - self._buffer.endswith(MARK[:1]), self._at + 1)
            count = found - self._at
        self._pass(count)
        return count

    def _has(self, count: int) -> bool:
        """Reads that many bytes into the buffer; returns whether they come."""
        while len(self._buffer) - self._at < count:
            if self._at_end:
                return False
            del self._buffer[: self._at]
            self._at = 0
            piece = self._read_some(max(PIECE_BYTES, count - len(self._buffer)))
            if piece is None:
                raise BlockingIOError(f"{self.name} has no bytes yet: open it so that reading waits for them")
            if not isinstance(piece, bytes | bytearray):
                raise TypeError(f"{self.name} gives {type(piece).__name__}, not bytes: open it in binary mode")
            self._at_end = not piece and not (self._wait and self._wait())
            self._buffer += piece
        return True

    def _need(self, count: int) -> None:
        if not self._has(count):
            raise _Cut

    def _peek(self, count: int, begin: int = 0) -> bytes:
        """The buffer's bytes from `begin` to `count`."""
        if count < 4096:
            return bytes(self._buffer[self._at + begin : self._at + count])
        # One copy less.
        with memoryview(self._buffer) as buffer:
            return bytes(buffer[self._at + begin : self._at + count])

    def _pass(self, count: int) -> None:
        self._at += count
        self._position += count


class _Damaged(Exception):
    """No stream header or packet is here. `checked`: bytes that a checksum was spent on."""

    def __init__(self, checked: int) -> None:
        self.checked = checked


class _Cut(Exception):
    """The end of the file comes before the end of what begins here."""
