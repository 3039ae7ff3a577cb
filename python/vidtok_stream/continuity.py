"""Whether a packet follows the one before it, or something between them is missing."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from .header import StreamHeader, Totals
from .hole import Hole, Loss
from .packet import PacketHeader

# Segment numbers wrap. A number that is further ahead than `_AHEAD` is behind.
_NUMBERS, _AHEAD = 1 << 32, (1 << 31) - 1


class Link(Enum):
    """How a packet is linked to those before it."""

    FOLLOWS = auto()
    """It follows the packet before it, as far as the stream says."""
    STARTS = auto()
    """It starts a segment."""
    UNCERTAIN = auto()
    """Something before it in its segment is missing. This holds up to the next segment start."""
    REPEATED = auto()
    """It came before, or comes too late. It must be left out; nothing is missing then."""


class Place(NamedTuple):
    """What `Continuity` says of a packet. `hole` is in front of the packet, and told once."""

    link: Link
    hole: Hole | None = None


class _Identity(NamedTuple):
    """What tells streams apart."""

    id: str | None = None
    checksum: int = -1

    def is_stream_of(self, other: "_Identity") -> bool:
        return self.checksum == other.checksum if self.id is None and other.id is None else self.id == other.id


@dataclass(slots=True)
class _Segment:
    """The current segment, or the one that has ended last."""

    stream: _Identity
    latest: PacketHeader
    whole: bool
    """Nothing of the segment is missing so far."""
    totals: Totals = Totals()
    """Totals of what was read or is known to be missing. `latent_frames` is the number of the next one."""
    ended: bool = False

    def take(self, packet: PacketHeader) -> None:
        number = self.totals.latent_frames if packet.latent_frame is None else packet.latent_frame
        self.totals = Totals(number, self.totals.frames).plus(packet.latent_frames, packet.real_frames)
        self.ended = packet.segment_end or packet.end_of_stream
        self.latest = packet

    @property
    def is_numbered(self) -> bool:
        """Whether its packets are numbered. Then its writer marks its end, too."""
        return self.latest.latent_frame is not None


class Continuity:
    """Compares the parts of a stream, or of several that were joined, with what should come.

    The caller passes in everything in its order. Streams of version 1.0 do not number their packets: only what the
    caller reports as lost is a hole in them.
    """

    def __init__(self) -> None:
        self.ended = False
        """Whether what came last is the end of a stream."""
        self._header = _Identity()
        self._segment: _Segment | None = None
        # Totals of the stream so far; `None` unless all of it was read.
        self._stream: Totals | None = None
        self._lost = False
        self._repeating = False

    def totals(self) -> tuple[int, ...]:
        """What was counted up to the latest packet: whether nothing of its segment is missing, latent frames and frames
        of the segment; those of the stream, unless something of it was not read.
        """
        assert self._segment, "a packet was taken"
        return (int(self._segment.whole), *self._segment.totals, *(self._stream or ()))

    def resume(self, packet: PacketHeader, totals: tuple[int, ...]) -> None:
        """Goes on behind `packet` of the stream header that came last, as `totals()` was there."""
        whole, latent_frames, frames, *stream = totals
        self._segment = _Segment(self._header, packet, bool(whole), Totals(latent_frames, frames))
        self._segment.ended = packet.segment_end or packet.end_of_stream
        self._stream = Totals(*stream) if stream else None
        self.ended = packet.end_of_stream

    def header(self, header: StreamHeader, checksum: int) -> None:
        """Takes a stream header. End marks go to `end`."""
        self._header = _Identity(header.stream_id, checksum)

    def lost(self) -> None:
        """Notes that something in front of what comes next was lost, or may have been.

        That is a hole unless numbers show that nothing is missing.
        """
        self._lost = True

    def packet(self, packet: PacketHeader) -> Place:
        """Takes a packet of the stream header that came last."""
        lost, self._lost = self._lost, False
        place = self._start(packet, lost) if packet.segment_start else self._inner(packet, lost)
        self._repeating = place.link is Link.REPEATED
        if not self._repeating:
            self.ended = packet.end_of_stream
            if self._stream:
                self._stream = self._stream.plus(packet.latent_frames, packet.real_frames)
        return place

    def _start(self, packet: PacketHeader, lost: bool) -> Place:
        loss, joined, last = Loss.DAMAGE if lost else None, self._segment is None, self._segment
        if last:
            same = last.stream.is_stream_of(self._header)
            ahead = _ahead(packet.segment, last.latest.segment) if same else None
            late_start = ahead == 0 and not last.whole
            behind = ahead is not None and (ahead == 0 or ahead > _AHEAD) and not late_start
            # Where numbers begin anew, the stream was joined once more, unless the latest packet comes again.
            if behind and not self.ended and (packet.segment != 0 or packet == last.latest):
                return self._repeated()
            # What follows a stream's end, or numbers segments anew, was joined.
            joined = ahead != 1 and (not same or self.ended or (packet.segment == 0 and not late_start))
            if late_start:
                loss = None  # A later packet of the segment has told of the hole.
            elif not last.ended and last.is_numbered:
                loss = Loss.NO_END
            elif ahead == 1:
                loss = None
            elif not joined and ahead is not None:
                loss = Loss.MISSING if 1 < ahead <= _AHEAD else Loss.REPEATED
        # Counts from a stream's first segment on, while nothing is missing.
        if joined:
            self._stream = Totals() if packet.segment == 0 else None
        elif loss:
            self._stream = None
        self._segment = _Segment(self._header, packet, whole=True)
        self._segment.take(packet)
        return Place(Link.STARTS, loss and Hole(loss))

    def _inner(self, packet: PacketHeader, lost: bool) -> Place:
        last, hole = self._segment, None
        if not last:
            hole = Hole(Loss.MISSING, packet.latent_frame)
        elif last.stream.checksum != self._header.checksum:
            hole = Hole(Loss.OTHER_STREAM)
        elif packet.latent_frame is None or not last.is_numbered:
            hole = Hole(Loss.DAMAGE) if lost else None
        else:
            ahead = _ahead(packet.segment, last.latest.segment) or 0
            missing = packet.latent_frame - last.totals.latent_frames
            if ahead > _AHEAD or (ahead == 0 and missing < 0):
                return self._repeated()
            if ahead == 0 and missing > 0:
                hole = Hole(Loss.MISSING, missing)
            elif ahead > 0 or last.ended:
                hole = Hole(Loss.MISSING)
        if not last or hole:
            self._stream = None
            self._segment = last = _Segment(self._header, packet, whole=False)
        last.take(packet)
        return Place(Link.FOLLOWS if last.whole else Link.UNCERTAIN, hole)

    def _repeated(self) -> Place:
        # Where packets come in the wrong order, the hole that the late one has left was told already.
        tell = self._segment and self._segment.whole and not self._repeating
        return Place(Link.REPEATED, Hole(Loss.REPEATED) if tell else None)

    def end(self, mark: StreamHeader) -> Hole | None:
        """Takes an end mark; returns the hole in front of it."""
        lost, self._lost = self._lost, False
        end, segment = mark.end, self._segment
        assert end, "the header is not an end mark"
        if not segment:
            # The packets before the mark were cut off, or there were none.
            self.ended = end.stream is not None
            return None
        # If the packets' stream header was not read, any mark may be theirs.
        if segment.stream.id not in (None, mark.stream_id):
            return Hole(Loss.OTHER_STREAM)
        ahead = _ahead(end.segment_number, segment.latest.segment) or 0
        missing = end.segment.latent_frames - segment.totals.latent_frames
        hole = None
        if not segment.is_numbered:
            hole = Hole(Loss.DAMAGE) if lost else None
        elif ahead > _AHEAD:
            return Hole(Loss.REPEATED)
        elif ahead > 0:
            hole = Hole(Loss.MISSING)
        elif missing > 0:
            hole = Hole(Loss.MISSING, missing)
        elif (
            missing < 0
            or (segment.whole and end.segment.frames != segment.totals.frames)
            or (end.stream and self._stream and end.stream != self._stream)
        ):
            hole = Hole(Loss.TOTALS)
        segment.ended = True
        if hole:
            self._stream = None
        self.ended = end.stream is not None
        return hole


def _ahead(number: int | None, last: int | None) -> int | None:
    return None if number is None or last is None else (number - last) % _NUMBERS
