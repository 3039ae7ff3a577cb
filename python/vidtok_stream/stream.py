"""A whole stream as arrays."""

import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import coding
from .errors import StreamError
from .format import TokenFormat
from .hole import Loss
from .packet import Behind, Packet, frames_per_latent
from .reader import OnLoss, PacketReader, Source, packets
from .times import UNKNOWN, even_offsets, frame_times, packet_times
from .tokens import Tokens

# A hostile file of a few megabytes could ask for the times of more frames than fit into memory.
MAX_FRAMES = 1 << 26
# Payloads unpacked at once: enough that NumPy's own overhead does not count.
BATCH_BYTES = 1 << 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream:
    """Tokens of t latent frames, the times of the video frames that they stand for, and where they can be cut."""

    format: TokenFormat
    tokens: Tokens
    """`[t, h, w]` FSQ indices (uint16, above 65,536 codes uint32), or `[t, h, w, channels]` KL floats."""
    real_frames: NDArray[np.int64]
    """`[t]`: video frames that each latent frame stands for."""
    pts: NDArray[np.int64]
    """When each video frame is shown, in nanoseconds; -1 where the stream does not say it."""
    durations: NDArray[np.int64]
    """How long each video frame is shown, in nanoseconds; -1 where the stream does not say it."""
    segment_starts: NDArray[np.int64]
    """Latent frames that decode without any before them."""
    packet_starts: NDArray[np.int64]
    """Latent frames that a packet of the file begins with."""
    gaps: NDArray[np.int64]
    """Latent frames in front of which others are missing, or came twice and were left out; t for a gap at the end."""
    uncertain: NDArray[np.bool_]
    """`[t]`: whether something before it in its segment is missing, so that it decodes to something wrong."""
    stream_id: str | None = None
    """What tells the stream apart from others; `None` in files of version 1.0, and where streams were joined."""
    skipped_bytes: int = 0
    """Damaged bytes of the file."""
    cut_bytes: int = 0
    """Bytes at the end of the file that belong to something whose end is missing."""
    wanted: slice = field(default_factory=lambda: slice(None))
    """Latent frames that were asked for; those in front of them must be decoded first: `tokens[wanted]`."""
    wanted_frames: slice = field(default_factory=lambda: slice(None))
    """Video frames that were asked for, among those that all the tokens stand for: `pts[wanted_frames]`."""
    ended: bool = True
    """Whether the file's end is the stream's. It is not if the writer was stopped. In files of version 1.0 it may be
    false though nothing is missing."""

    @classmethod
    def of(
        cls,
        format: TokenFormat,
        tokens: ArrayLike,
        *,
        segment_starts: Sequence[int] = (0,),
        real_frames: ArrayLike | None = None,
        pts: ArrayLike | None = None,
        durations: ArrayLike | None = None,
        stream_id: str | None = None,
    ) -> "Stream":
        """A stream to write.

        By default one segment, all frames real, and at the format's framerate from 0 on. Without `durations` a frame
        lasts until the next. A packet has one latent frame; in a stream that is not causal, a segment.
        """
        tokens = np.asarray(tokens)
        starts = np.asarray(segment_starts, np.int64)
        if np.any(wrong := (starts < 0) | (starts >= len(tokens))):
            raise StreamError(
                f"no segment can start at latent frame {starts[wrong][0]}: the tokens have {len(tokens)} latent frames"
            )
        if real_frames is None:
            real = np.full(len(tokens), format.frames_of(1, segment_start=False), np.int64)
            real[starts] = format.frames_of(1, segment_start=True)
        else:
            real = np.asarray(real_frames, np.int64)
        times = _grid(int(real.sum()), format) if pts is None else np.asarray(pts, np.int64)
        if durations is None:
            last = even_offsets(int(times[-1]), None, 2, format.framerate) if len(times) else []
            durations = np.append(np.diff(times), [UNKNOWN] if last is None else last)
        return cls(
            format=format,
            tokens=tokens,
            real_frames=real,
            pts=times,
            durations=np.asarray(durations, np.int64),
            segment_starts=starts,
            packet_starts=np.arange(len(tokens)) if format.causal else starts,
            gaps=np.empty(0, np.int64),
            uncertain=np.zeros(len(tokens), np.bool_),
            stream_id=stream_id,
        )

    def packets(self) -> Iterator[Packet]:
        """The stream's packets, to be written."""
        t = len(self.tokens)
        if self.real_frames.shape != (t,) or np.any(self.real_frames < 0):
            raise StreamError(f"real_frames must be {t} counts, one for each latent frame")
        frame_starts = np.concatenate([[0], np.cumsum(self.real_frames)])
        if self.pts.shape != (frame_starts[-1],) or self.durations.shape != self.pts.shape:
            raise StreamError(
                f"{self.pts.size} PTS and {self.durations.size} durations for {frame_starts[-1]} real video frames"
            )
        starts = self.packet_starts
        if t and (len(starts) == 0 or starts[0] != 0 or np.any(np.diff(starts) < 1) or starts[-1] >= t):
            raise StreamError(f"packet_starts must go from 0 up, to below {t}")
        if not np.isin(self.segment_starts, starts).all():
            raise StreamError("a segment that does not start with a packet")
        segments = set(self.segment_starts.tolist())
        if np.any(self.uncertain):
            raise StreamError(
                f"something is missing in front of latent frame {np.argmax(self.uncertain)}: read with"
                ' on_loss="wait", which leaves out what nothing decodes'
            )
        gaps = set(self.gaps.tolist())
        ended = self.ended and t not in gaps
        for begin, end in pairwise([*starts.tolist(), t]):
            shown = slice(int(frame_starts[begin]), int(frame_starts[end]))
            if shown.start == shown.stop:
                raise StreamError(f"the packet of latent frames {begin} to {end - 1} has no real video frame")
            pts, duration, offsets = packet_times(
                self.pts[shown].tolist(), self.durations[shown].tolist(), self.format.framerate
            )
            packet = Packet.of(
                self.format,
                self.tokens[begin:end],
                segment_start=begin in segments,
                real_frames=shown.stop - shown.start,
                pts=pts,
                duration=duration,
                offsets=offsets,
                end_of_stream=ended and end == t,
                segment_end=(end in segments and end not in gaps) or (ended and end == t),
                stream_id=self.stream_id,
            )
            goes_on = end < t and end not in gaps
            yield replace(packet, behind=Behind(goes_on=goes_on, ended=ended and end == t))


def read(source: Source, *, frames: range | None = None, on_loss: OnLoss = "wait") -> Stream:
    """Reads a whole file: its path, its bytes, or an open binary file.

    Where bytes are damaged, or packets are missing, doubled or out of order, reading continues at the next segment
    start, or at once with `on_loss="continue"`; `skipped_bytes`, `gaps` and `uncertain` say so. Joined files whose
    formats differ raise a `StreamError`: `read_joined` is for them.

    `frames`: reads these video frames, counted from 0, and from the start of their segment what must be decoded before
    them. `Stream.wanted` and `Stream.wanted_frames` say which they are. Of a path or bytes, what is in front of that
    segment is counted by the packets' headers and not read, so that damage in their payloads is not noticed.
    """
    if frames is None:
        with packets(source, on_loss=on_loss) as reader:
            return next(_streams(reader, joined=False))
    if frames.step != 1 or not 0 <= frames.start < frames.stop:
        raise ValueError(f"frames is a range such as range(100, 116), not {frames}")
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        # By the packet headers alone, if nothing is damaged.
        with packets(source, on_loss=on_loss) as reader:
            found = reader.begin_at_frame(frames.start)
            if found is not None:
                stream = _excerpt(reader, frames, found)
                if not reader.holes and not reader.skipped_bytes and not reader.cut_bytes:
                    return stream
    with packets(source, on_loss=on_loss) as reader:
        return _excerpt(reader, frames, 0)


def _excerpt(reader: PacketReader, wanted: range, at: int) -> Stream:
    """Reads packets, of which the first begins with video frame `at`, up to the last of the wanted frames."""
    builder: _Builder | None = None
    first, holes = at, 0
    for packet in reader:
        if builder is None or (packet.segment_start and at <= wanted.start):
            builder, first = _Builder(reader.name, packet.format), at
            holes = len(reader.holes)
            packet = replace(packet, skipped_bytes=0)
        elif packet.format != builder.format:
            change = _change(builder.format, packet.format)
            raise StreamError(f"{reader.name}: the format changes at frame {at}: {change}")
        builder.add_gap(len(reader.holes) > holes)
        holes = len(reader.holes)
        builder.add(packet)
        at += packet.real_frames
        if at >= wanted.stop:
            break
    if builder is None or at < wanted.stop:
        raise StreamError(f"{reader.name}: it has {at} frames, of which {wanted.start} to {wanted[-1]} are wanted")
    stream = builder.finish()
    ends = first + np.cumsum(stream.real_frames)
    begin, end = np.searchsorted(ends, [wanted.start, wanted.stop - 1], side="right").tolist()
    return replace(
        stream,
        wanted=slice(begin, end + 1),
        wanted_frames=slice(wanted.start - first, wanted.stop - first),
    )


def read_joined(source: Source, *, on_loss: OnLoss = "wait") -> list[Stream]:
    """Reads a whole file in which the format may change: a `Stream` for each stretch of one format."""
    with packets(source, on_loss=on_loss) as reader:
        return list(_streams(reader, joined=True))


def _streams(reader: PacketReader, joined: bool) -> Iterator[Stream]:
    builder: _Builder | None = None
    skipped_bytes, holes = 0, 0
    for packet in reader.items():
        if not isinstance(packet, Packet):
            if builder:
                # What is missing in front of an end mark belongs to the stream that ends.
                builder.add_gap(len(reader.holes) > holes)
                builder.ended, holes = reader.ended, len(reader.holes)
            continue
        if builder and packet.format != builder.format:
            if not joined:
                raise StreamError(
                    f"{reader.name}, byte {packet.byte_position}: the format changes"
                    f" ({_change(builder.format, packet.format)}); read_joined() and packets() read such files"
                )
            if packet.hole and packet.hole.loss is Loss.NO_END:
                builder.add_gap(True)
                holes = len(reader.holes)
            yield builder.finish()
            builder = None
        builder = builder or _Builder(reader.name, packet.format)
        builder.add_gap(len(reader.holes) > holes)
        builder.add(packet)
        skipped_bytes, holes = skipped_bytes + packet.skipped_bytes, len(reader.holes)
    assert reader.format, "a reader that meets no stream header raises"
    builder = builder or _Builder(reader.name, reader.format)
    builder.add_gap(len(reader.holes) > holes)
    builder.skipped_bytes += reader.skipped_bytes - skipped_bytes
    builder.cut_bytes, builder.ended = reader.cut_bytes, reader.ended
    yield builder.finish()


class _Builder:
    """Collects packets of one format."""

    def __init__(self, name: str, format: TokenFormat) -> None:
        self.name = name
        self.format = format
        self.tokens: list[Tokens] = [np.empty((0, *format.latent_shape), format.dtype)]
        self.batch: list[Packet] = []
        self.latent_frames = 0
        self.real = array("q")
        self.pts = array("q")
        self.durations = array("q")
        self.segments = array("q")
        self.packets = array("q")
        self.gaps = array("q")
        self.uncertain = array("b")
        self.stream_ids: set[str | None] = set()
        self.skipped_bytes = 0
        self.cut_bytes = 0
        self.ended = False

    def add_gap(self, is_one: bool) -> None:
        """Notes a gap behind what was added, once."""
        if is_one and self.latent_frames not in self.gaps[-1:]:
            self.gaps.append(self.latent_frames)

    def add(self, packet: Packet) -> None:
        frames = packet.real_frames
        if len(self.pts) + frames > MAX_FRAMES:
            raise StreamError(f"{self.name}: more than {MAX_FRAMES} video frames; packets() reads such files")
        self.packets.append(self.latent_frames)
        if packet.segment_start:
            self.segments.append(self.latent_frames)
        self.skipped_bytes += packet.skipped_bytes
        self.ended = packet.end_of_stream
        self.latent_frames += packet.latent_frames
        self.uncertain.extend([packet.uncertain] * packet.latent_frames)
        self.stream_ids.add(packet.stream_id)
        self.real.extend(frames_per_latent(self.format, packet.latent_frames, frames, packet.segment_start))
        pts, durations = frame_times(packet.pts, packet.duration, packet.offsets, frames, self.format.framerate)
        self.pts.extend(pts)
        self.durations.extend(durations)
        if self.batch and packet.latent_frames != self.batch[0].latent_frames:
            self.unpack()
        self.batch.append(packet)
        if len(self.batch) * len(packet.payload) >= BATCH_BYTES:
            self.unpack()

    def unpack(self) -> None:
        """Turns the packets of the batch, all of one length, into tokens."""
        batch, self.batch = self.batch, []
        payloads = [packet.payload for packet in batch]
        try:
            self.tokens.append(coding.decode(payloads, self.format, batch[0].latent_frames))
        except StreamError as error:
            first, last = batch[0].byte_position, batch[-1].byte_position
            raise StreamError(f"{self.name}, in a packet at byte {first} to {last}: {error}") from error

    def finish(self) -> Stream:
        if self.batch:
            self.unpack()
        return Stream(
            format=self.format,
            tokens=np.concatenate(self.tokens),
            real_frames=np.array(self.real, np.int64),
            pts=np.array(self.pts, np.int64),
            durations=np.array(self.durations, np.int64),
            segment_starts=np.array(self.segments, np.int64),
            packet_starts=np.array(self.packets, np.int64),
            gaps=np.array(self.gaps, np.int64),
            uncertain=np.array(self.uncertain, np.bool_),
            stream_id=next(iter(self.stream_ids)) if len(self.stream_ids) == 1 else None,
            skipped_bytes=self.skipped_bytes,
            cut_bytes=self.cut_bytes,
            ended=self.ended,
        )


def _change(before: TokenFormat, after: TokenFormat) -> str:
    values = ((field.name, getattr(before, field.name), getattr(after, field.name)) for field in fields(before))
    return ", ".join(f"{name} from {old} to {new}" for name, old, new in values if old != new)


def _grid(frames: int, format: TokenFormat) -> NDArray[np.int64]:
    if not format.framerate:
        raise StreamError("without a framerate, a stream needs the pts of its frames")
    offsets = even_offsets(0, None, frames, format.framerate) or []
    return np.array([0, *offsets][:frames], np.int64)
