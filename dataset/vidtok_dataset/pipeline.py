"""A clip becomes a file of tokens: GStreamer pipelines with `vidtokenc`."""

import hashlib
import json
import os
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from vidtok_stream import TokenFormat, packets

from . import gstreamer
from .damage import Damage, Log
from .decoding import NO_VIDEO, OTHER_KIND, Kinds, Known, Search
from .errors import ClipError, DatasetError
from .files import sha256_of, whole
from .gstreamer import GLib, Gst
from .options import Options
from .part import LANDED_LATE, Part
from .rate import Rate
from .sources import Clip

TICK = Gst.SECOND // 5
# The pipeline's bus has an error that was posted within that time, or has lost it.
LOST_SECONDS = 1
# A pipeline that makes no frame for so long has stopped.
STALL_SECONDS = 120
# Decoded frames that wait for the network.
QUEUED = 8
# A video ends earlier than its container says by at least so much: it was cut off.
CUT_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Running:
    """How tokenizers run. It does not change tokens."""

    provider: str = "auto"
    device: int = 0
    threads: int = 1
    """Of a step. Clips run side by side, so one is best."""


@dataclass(frozen=True, kw_only=True)
class Tokenized:
    """What became of a clip."""

    sha256: str
    """Of its source."""
    frames: int
    latent_frames: int
    pixels: str | None
    damage: dict[str, object] = field(default_factory=dict)
    """What was wrong with the video; empty: nothing."""


class Tokenizer:
    """Tokenizes clips in this process, several at a time in threads, with one network."""

    def __init__(self, options: Options, running: Running) -> None:
        """Raises a `DatasetError` where the plugin or the tokenizer is not there, or the network does not run."""
        gstreamer.start()
        self.options, self._running = options, running
        self._log, self._kinds = Log(), Kinds()
        self._digest = options.digest()
        # It stays as long as this, so that the network is loaded once.
        self._first, self.format = self._try_out()

    def __enter__(self) -> "Tokenizer":
        return self

    def __exit__(self, *_: object) -> None:
        """Lets go of the network."""
        self._first.set_state(Gst.State.NULL)

    def tokenize(self, clip: Clip, target: Path, stop: threading.Event) -> Tokenized:
        """Writes the clip's tokens to `target`, a `.vidtok` file that is whole or not there. Its name need not be on
        the disk before that of the clip's record.

        Raises a `ClipError` where the clip cannot be tokenized or has no frames, and `InterruptedError` after `stop`.
        """
        try:
            # A pipe would keep the job waiting, and can be read once only.
            if not stat.S_ISREG(os.stat(clip.path).st_mode):
                raise ClipError("it is not a regular file")
            sha256 = sha256_of(Path(clip.path), stop)
        except InterruptedError:
            raise
        except (OSError, ValueError) as error:
            raise ClipError(f"it cannot be read: {getattr(error, 'strerror', None) or error}") from error
        with whole(target, sync_name=False) as part:
            try:
                return self._run(clip, part, stop, sha256, may_seek=True)
            except _LandedLateError:
                # Some containers cannot be sought in, or not exactly.
                return self._run(clip, part, stop, sha256, may_seek=False)

    def _run(self, clip: Clip, target: Path, stop: threading.Event, sha256: str, may_seek: bool) -> Tokenized:
        known = self._kinds.of(clip.path)
        failed = False
        if known is not None:
            try:
                return self._decode(clip, target, stop, sha256, may_seek, known)
            except _OtherKindError:
                pass
            except ClipError:
                # decodebin may do better, and says what is wrong.
                failed = True
        tokenized = self._decode(clip, target, stop, sha256, may_seek, Search())
        if known is not None and failed:
            self._kinds.give_up(known)
        return tokenized

    def _decode(
        self, clip: Clip, target: Path, stop: threading.Event, sha256: str, may_seek: bool, decoding: Search | Known
    ) -> Tokenized:
        run = _Run(self, clip, target, self._stream_id(clip, sha256), may_seek, decoding)
        damage = self._log.watch(run.pipeline)
        try:
            tokenized = run.until_end(stop, sha256, damage)
            if isinstance(decoding, Search) and not tokenized.damage and (kind := decoding.kind()) is not None:
                self._kinds.learn(clip.path, kind)
            return tokenized
        finally:
            run.close()
            self._log.forget(run.pipeline, damage)

    def encoder(self) -> Gst.Element:
        """A `vidtokenc` as the options say."""
        options, running = self.options, self._running
        encoder = Gst.ElementFactory.make("vidtokenc", "encoder")
        values = {
            "model": options.model,
            "size": options.size,
            "fit": options.fit,
            "interpolation": options.interpolation,
            "conversion": options.conversion,
            "sample-fps": options.sample_fps,
            "frame-interval": options.frame_interval,
            "key-interval": options.segment_frames,
            "token-type": options.token_type,
            "execution-provider": running.provider,
            "device-id": running.device,
            "threads": running.threads,
        }
        for name, value in values.items():
            if value is None:
                continue
            try:
                if isinstance(value, str):
                    Gst.util_set_object_arg(encoder, name, value)
                    kept = encoder.get_property(name)
                    if getattr(kept, "value_nick", value) != value:
                        raise ValueError("gst-inspect-1.0 vidtokenc lists what there is")
                else:
                    encoder.set_property(name, value)
            except (TypeError, ValueError, OverflowError) as error:
                raise DatasetError(f"vidtokenc takes no {name} of {value!r}: {error}") from error
        return encoder

    def _stream_id(self, clip: Clip, sha256: str) -> str:
        what = json.dumps([sha256, clip.start, clip.end, self.format.digest, self._digest])
        return hashlib.sha256(what.encode()).hexdigest()[:32]

    def _try_out(self) -> tuple[Gst.Pipeline, TokenFormat]:
        """Tokenizes a black frame. Returns its pipeline, and what its tokens are; without `size`, of any size."""
        source = Gst.parse_bin_from_description(
            "videotestsrc pattern=black num-buffers=1"
            " ! capsfilter caps=video/x-raw,format=RGB,width=256,height=256,framerate=30/1",
            True,
        )
        sink = Gst.ElementFactory.make("fakesink", "sink")
        pipeline = _pipeline([source, self.encoder(), sink])
        pieces: list[bytes] = []
        sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, _copy, pieces)
        pipeline.set_state(Gst.State.PLAYING)
        message = pipeline.get_bus().timed_pop_filtered(
            STALL_SECONDS * Gst.SECOND, Gst.MessageType.ERROR | Gst.MessageType.EOS
        )
        if message is None or message.type == Gst.MessageType.ERROR:
            pipeline.set_state(Gst.State.NULL)
            why = "it does not start" if message is None else message.parse_error()[0].message
            raise DatasetError(f"the tokenizer does not run: {why}")
        reader = packets(b"".join(pieces))
        next(reader)
        assert reader.format is not None
        return pipeline, reader.format


class _LandedLateError(Exception):
    """The seek to a part of a video has gone too far."""


class _OtherKindError(Exception):
    """It takes decodebin to decode the clip."""


class _Run:
    """The pipeline of one clip."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        clip: Clip,
        target: Path,
        stream_id: str,
        may_seek: bool,
        decoding: Search | Known,
    ) -> None:
        self._clip, self._decoding = clip, decoding
        source = Gst.ElementFactory.make("filesrc", "source")
        source.set_uri(_uri(clip.path))
        self._encoder = tokenizer.encoder()
        self._encoder.set_property("stream-id", stream_id)
        sink = Gst.ElementFactory.make("filesink", "sink")
        sink.set_uri(_uri(target.absolute()))
        queue = Gst.ElementFactory.make("queue", "queue")
        queue.set_property("max-size-buffers", QUEUED)
        queue.set_property("max-size-bytes", 0)
        queue.set_property("max-size-time", 0)
        self._chain = [queue, self._encoder, sink]
        self._rate: Rate | None = None
        if tokenizer.options.fps is not None:
            self._rate = Rate(tokenizer.options.framerate())
            self._chain[:0] = self._rate.elements
        if tokenizer.options.deinterlace:
            deinterlace = Gst.ElementFactory.make("deinterlace", "deinterlace")
            # A frame of two fields stays one frame.
            Gst.util_set_object_arg(deinterlace, "fields", "top")
            self._chain[:0] = [deinterlace]
        self.pipeline = _pipeline([source, decoding.element], self._chain)
        self._may_seek = may_seek
        self._part: Part | None = None
        decoding.connect(self._link, self._tell)

    def close(self) -> None:
        """Stops."""
        self.pipeline.set_state(Gst.State.NULL)
        self._decoding.close()
        for watcher in (self._part, self._rate):
            if watcher is not None:
                watcher.close()

    def until_end(self, stop: threading.Event, sha256: str, damage: Damage) -> Tokenized:
        bus = self.pipeline.get_bus()
        if self._clip.start is not None or self._clip.end is not None:
            self._part = Part(self._clip, self._may_seek, damage, self._tell)
        if self.pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            message = bus.pop_filtered(Gst.MessageType.ERROR)
            raise ClipError("its pipeline does not start") if message is None else self._error(message)
        last, since = -1, time.monotonic()
        while True:
            message = bus.timed_pop_filtered(
                TICK,
                Gst.MessageType.ERROR | Gst.MessageType.EOS | Gst.MessageType.WARNING | Gst.MessageType.APPLICATION,
            )
            if stop.is_set():
                raise InterruptedError
            if message is not None:
                if message.type == Gst.MessageType.ERROR:
                    raise self._error(message)
                if message.type == Gst.MessageType.EOS:
                    break
                if message.type == Gst.MessageType.WARNING:
                    damage.note(message.parse_warning()[0].message)
                elif message.get_structure().get_name() == NO_VIDEO:
                    raise ClipError("there is no video in it")
                elif message.get_structure().get_name() == OTHER_KIND:
                    raise _OtherKindError
                elif message.get_structure().get_name() == LANDED_LATE:
                    raise _LandedLateError
                elif self._part is not None and not self._part.seek():
                    raise _LandedLateError
            elif damage.posted and time.monotonic() - since > LOST_SECONDS:
                raise ClipError(damage.posted)
            frames = self._stats().get_value("frames")
            if frames != last:
                last, since = frames, time.monotonic()
            elif time.monotonic() - since > STALL_SECONDS:
                raise ClipError(f"nothing came of it for {STALL_SECONDS} s, after {frames} frames")
        return self._result(sha256, damage)

    def _result(self, sha256: str, damage: Damage) -> Tokenized:
        stats = self._stats()
        frames = stats.get_value("frames")
        if not frames:
            raise ClipError("no frame of it can be decoded")
        found: dict[str, object] = {}
        if self._clip.end is not None:
            # How many frames behind the end are decoded is chance, and what they refer to may be missing.
            damage.forget_unmarked()
        if damage.messages:
            found |= {"messages": damage.messages, "first": damage.texts}
        end = self._end()
        assert self._decoding.decoded is not None
        known, duration = self._decoding.decoded.query_duration(Gst.Format.TIME)
        whole_end = duration / Gst.SECOND if known and duration > 0 else None
        if self._clip.end is not None:
            whole_end = min(self._clip.end, whole_end or self._clip.end)
        if whole_end is not None and end < whole_end - CUT_SECONDS:
            found |= {"ends_at": round(end, 3), "should_end_at": round(whole_end, 3)}
        return Tokenized(
            sha256=sha256,
            frames=frames,
            latent_frames=stats.get_value("latent-frames"),
            pixels=stats.get_value("pixels") if stats.has_field("pixels") else None,
            damage=found,
        )

    def _stats(self) -> Gst.Structure:
        return self._encoder.get_property("stats")

    def _end(self) -> float:
        """Where the last frame's tokens end, in seconds of the video."""
        known, position = self._chain[-1].query_position(Gst.Format.TIME)
        return position / Gst.SECOND if known else 0.0

    def _link(self, pad: Gst.Pad) -> None:
        if self._part is not None:
            self._part.attach(pad)
        pad.link(self._chain[0].get_static_pad("sink"))

    def _error(self, message: Gst.Message) -> Exception:
        """The clip's fault, or not: then no clip is skipped for it."""
        error, _ = message.parse_error()
        lacks_room = message.src is self._chain[-1]
        fails = message.src is self._encoder and (
            error.domain == GLib.quark_to_string(Gst.LibraryError.quark())
            or error.matches(Gst.StreamError.quark(), Gst.StreamError.FAILED)
        )
        return (DatasetError if lacks_room or fails else ClipError)(_reason(message))

    def _tell(self, what: str) -> None:
        """Wakes the thread that waits for the end."""
        message = Gst.Message.new_application(self.pipeline, Gst.Structure.new_empty(what))
        self.pipeline.post_message(message)


def _pipeline(*chains: list[Gst.Element]) -> Gst.Pipeline:
    pipeline = Gst.Pipeline.new()
    for chain in chains:
        for element in chain:
            pipeline.add(element)
        for before, after in zip(chain, chain[1:], strict=False):
            before.link(after)
    return pipeline


def _uri(path: str | Path) -> str:
    """Names of files need not be text, and properties of elements have to be."""
    return "file://" + quote(os.fsencode(path))


def _copy(_pad: Gst.Pad, info: Gst.PadProbeInfo, pieces: list[bytes]) -> Gst.PadProbeReturn:
    buffer = info.get_buffer()
    pieces.append(buffer.extract_dup(0, buffer.get_size()))
    return Gst.PadProbeReturn.OK


def _reason(message: Gst.Message) -> str:
    """An error in one line, with the kind of element that it comes from."""
    error, _ = message.parse_error()
    # Not the element's name, which has a number that depends on other clips.
    factory = message.src.get_factory() if isinstance(message.src, Gst.Element) else None
    return f"{error.message.strip()} ({factory.get_name() if factory else 'GStreamer'})".replace("\n", " ")
