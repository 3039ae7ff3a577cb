"""What became of every frame and every packet that was sent. Free of GStreamer."""

import struct
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock

# As docs/rtp.md has them: flags, segment, cells; digest; latent frame; latent frames, first cell; real frames.
_PAYLOAD = struct.Struct(">BBHIIB3sH")
_CONFIGURATION = 1 << 5
_RTP_HEADER_BYTES = 12
# As docs/stream.md has them, up to the number of the segment.
_PACKET = struct.Struct("<4s HH IIII QQ II QI")
# Nanoseconds. Time that goes back by more begins anew: a source that is paused while it is late jumps to the time of
# the clock, and the jitter buffer to that of arrival. A second less a frame, as the receiver counts from a frame's end.
NEW_TIMELINE = 900_000_000
_SYNC = b"\x89VTP"
RTP_PREFIX = _RTP_HEADER_BYTES + _PAYLOAD.size
"""Bytes of an RTP packet that are looked at."""


@dataclass
class Unit:
    """What was sent of a unit, and how much of it arrived."""

    segment: int
    latent_frame: int
    frames: int
    sent: int = 0
    arrived: int = 0

    def is_at(self, segment: int, latent_frame: int) -> bool:
        # RTP has the segment's number modulo 256.
        return (self.segment, self.latent_frame) == (segment % 256, latent_frame)


@dataclass
class Shown:
    """When the frames of a token buffer are to be shown, and how many of them were not yet."""

    begins: int
    ends: int
    frames: int

    def has(self, time: int) -> bool:
        # Frames that share no time are all shown when the one before them ends.
        return self.begins <= time < self.ends or time == self.begins


def sequence_number(packet: bytes) -> int:
    return int.from_bytes(packet[2:4], "big")


def unit_of(packet: bytes) -> Unit | None:
    """The unit that an RTP packet belongs to; `None`: it has a configuration."""
    flags, segment, _, _, latent_frame, _, _, frames = _PAYLOAD.unpack_from(packet, _RTP_HEADER_BYTES)
    return None if flags & _CONFIGURATION else Unit(segment, latent_frame, frames)


@dataclass
class Ledger:
    """Units in the order in which they were sent are matched with the token buffers of the receiver, whose numbers say
    which unit they are. What lies between two matches is lost. Only what is not matched yet is kept."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)
    _open: deque[Unit] = field(default_factory=deque)
    # Packets on their way, by sequence number: their units, or `None` for a configuration.
    _under_way: dict[int, Unit | None] = field(default_factory=dict)
    # Token buffers whose pictures have not all come.
    _due: deque[Shown] = field(default_factory=deque)
    # Segment and latent frame of the latest token buffer.
    _latest: tuple[int, int] | None = None
    _new_format: bool = True
    _time: int | None = None

    def sent(self, packet: bytes, is_dropped: bool) -> None:
        """A packet leaves the payloader; the line drops it or not."""
        with self._lock:
            self.counts["packets sent"] += 1
            self.counts["packets dropped by the line"] += is_dropped
            unit = unit_of(packet)
            if unit is not None:
                latest = self._open[-1] if self._open else None
                if latest is None or not latest.is_at(unit.segment, unit.latent_frame):
                    self._open.append(unit)
                    self.counts["frames sent"] += unit.frames
                else:
                    unit = latest
                unit.sent += 1
            if not is_dropped:
                self._under_way[sequence_number(packet)] = unit

    def arrived(self, packet: bytes) -> None:
        """A packet reaches the depayloader."""
        with self._lock:
            number = sequence_number(packet)
            if number not in self._under_way:
                self._blame(f"packet {number} arrived, and was not sent")
                return
            unit = self._under_way.pop(number)
            self.counts["packets arrived"] += 1
            if unit is None:
                self.counts["configurations arrived"] += 1
            else:
                unit.arrived += 1

    def new_format(self) -> None:
        """The receiver's token buffers have other caps from here on."""
        with self._lock:
            self._new_format = True

    def put_out(self, buffer: bytes, time: tuple[int, int], concealed: int | None, discont: bool) -> None:
        """The depayloader puts out a token buffer for `time`, from and to. `concealed`: cells that it made up."""
        at = buffer.find(_SYNC)
        fields = _PACKET.unpack_from(buffer, at)
        frames, latent_frame, segment = fields[5], fields[11], fields[12]
        with self._lock:
            self.counts["frames put out"] += frames
            self._due.append(Shown(*time, frames))
            self._follow(segment, latent_frame)
            is_said = discont or self._new_format
            self._new_format = False
            place = next((i for i, unit in enumerate(self._open) if unit.is_at(segment, latent_frame)), None)
            if place is None:
                # Time in front of a segment start that may have been a pause as well.
                self.counts["frames made up for a pause"] += frames
                if concealed is None:
                    self._blame(f"latent frame {latent_frame} of segment {segment} was not sent, and is not made up")
                return
            for _ in range(place):
                self._lose(self._open.popleft(), is_said)
            self._show(self._open.popleft(), frames, concealed)

    def _follow(self, segment: int, latent_frame: int) -> None:
        """Sees to it that no unit comes twice, or after a later one."""
        if self._latest is not None:
            # A receiver of a new format counts segments from the number that RTP has.
            ahead = (segment - self._latest[0]) % 256
            if ahead >= 128 or ahead == 0 and latent_frame <= self._latest[1]:
                self._blame(f"latent frame {latent_frame} of segment {segment} comes behind {self._latest}")
        self._latest = (segment, latent_frame)

    def _show(self, unit: Unit, frames: int, concealed: int | None) -> None:
        if concealed is None:
            kind, is_right = "shown whole", unit.arrived == unit.sent
        elif unit.arrived:
            kind, is_right = "shown, concealed in part", unit.arrived < unit.sent
        else:
            kind, is_right = "shown, made up", True
        self.counts[f"frames {kind}"] += unit.frames
        self.counts["packets used"] += unit.arrived
        if not is_right or frames != unit.frames:
            self._blame(f"{unit} is {kind} with {frames} frames, {concealed} cells concealed")

    def _lose(self, unit: Unit, is_said: bool) -> None:
        self.counts["frames lost"] += unit.frames
        self.counts["packets of lost frames"] += unit.arrived
        if not is_said:
            self._blame(f"{unit} is lost, and nothing says so")

    def shown(self, time: int | None, is_marked: bool) -> None:
        """A picture reaches the sink."""
        with self._lock:
            self.counts["pictures"] += 1
            self.counts["pictures marked"] += is_marked
            back = 0 if time is None or self._time is None else self._time - time
            if back > NEW_TIMELINE:
                self.counts["new timelines"] += 1
            elif time is None or back > 0:
                self._blame(f"a picture at {time} follows one at {self._time}")
            self._time = time
            self._account_for(time)

    def _account_for(self, time: int | None) -> None:
        """Finds the token buffer of a picture. Buffers in front of it get no more pictures."""
        place = next((i for i, due in enumerate(self._due) if time is not None and due.has(time)), None)
        if place is None:
            self._blame(f"a picture at {time} is of no frame, or one too many")
            return
        for _ in range(place):
            self.counts["frames without a picture"] += self._due.popleft().frames
        self._due[0].frames -= 1
        if self._due[0].frames == 0:
            self._due.popleft()

    def finish(self) -> None:
        """All streams have ended. The last frames must have come."""
        with self._lock:
            while self._open:
                self._lose(self._open.popleft(), is_said=False)
            self.counts["frames without a picture"] += sum(due.frames for due in self._due)
            self._due.clear()
            self.counts["packets lost by the network"] = len(self._under_way)

    def _blame(self, text: str) -> None:
        self.counts["contradictions"] += 1
        # All are counted; the first ones are enough to look at.
        if len(self.wrong) < 20:
            self.wrong.append(text)


Stats = dict[str, int]


def equations(counts: Counter[str], encoder: Stats, depayloader: Stats, decoder: Stats) -> list[tuple[str, int, int]]:
    """What has to be equal: a sentence, and both sides."""
    shown = counts["frames shown whole"] + counts["frames shown, concealed in part"] + counts["frames shown, made up"]
    faults = ("damaged", "newer-version", "other-format", "impossible-cells", "impossible-tokens", "contradictions")
    unused = sum(depayloader[name] for name in ("held", "late", *faults))
    return [
        ("frames of the source = encoded + dropped", counts["frames"], encoder["frames"] + encoder["dropped"]),
        ("frames encoded = sent", encoder["frames"], counts["frames sent"]),
        ("frames sent = shown + lost", counts["frames sent"], shown + counts["frames lost"]),
        ("frames put out = shown + made up for pauses", counts["frames put out"],
         shown + counts["frames made up for a pause"]),
        ("frames put out = decoded + dropped", counts["frames put out"], decoder["frames"] + decoder["dropped"]),
        ("frames decoded = pictures", decoder["frames"], counts["pictures"]),
        ("frames without a picture = dropped", counts["frames without a picture"], decoder["dropped"]),
        ("packets sent = dropped by the line + lost by the network + arrived", counts["packets sent"],
         counts["packets dropped by the line"] + counts["packets lost by the network"] + counts["packets arrived"]),
        ("packets arrived = counted by the depayloader", counts["packets arrived"], depayloader["packets"]),
        ("packets arrived = used + configurations + held, late or of no use", counts["packets arrived"],
         counts["packets used"] + counts["configurations arrived"] + unused),
    ]  # fmt: skip
