"""The stream that is watched: a pipeline, whose pictures are matched by their times."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from drawing import Picture
from figures import Pacer, Queued, Rate, share, together
from gstreamer import Gst, bytes_of, error_of, launch
from sources import Source
from token_map import Spread, Tokens, colours, mark_lost

# Of pictures and token maps that wait for their reconstruction. A window of a non-causal tokenizer is far shorter.
WAITING = 256
PACKETS = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST
# Seconds until a dead address is tried again.
RETRY = 3.0


class Stream:
    def __init__(self, source: Source, line: str) -> None:
        """Raises a `StreamError` where the line is wrong or the plugin is missing."""
        self.source = source
        self._line = line
        self._pipeline = launch(line)
        self.started = time.monotonic()
        self._clear()

    def _clear(self) -> None:
        self.original: Picture | None = None
        self.reconstruction: Picture | None = None
        self.tokens: Picture | None = None
        self.concealed = False
        self.time = 0.0
        self.shown = 0
        """Pictures so far."""
        self.latency: float | None = None
        """Seconds from the time of a live picture to when it was shown."""
        self.last_shown: float | None = None
        self.error: str | None = None
        self.ended = False
        self._ended_at: float | None = None
        self.layout: Tokens | None = None
        self.model = ""
        self.video = (0, 0)
        self.framerate = 0.0
        self._space_factor = 1
        self.rate, self._pacer = Rate(), Pacer()
        self._originals: deque[tuple[float, Picture]] = deque(maxlen=WAITING)
        self._maps: deque[tuple[float, Picture, bool]] = deque(maxlen=WAITING)
        self._coming: deque[tuple[float, Picture, bool]] = deque()
        self._spread = Spread()
        self._sinks: dict[str, Gst.Element | None] = {}
        self._elements: dict[str, Gst.Element | None] = {}
        self._jitter: list[Gst.Element] = []
        self._sent = self._arrived = 0
        self._last_packet: float | None = None
        self._queued = Queued()

    # Starting and ending

    def start(self) -> None:
        pipeline = self._pipeline
        reader = pipeline.get_by_name("source")
        if reader and self.source.location:
            reader.set_property(
                "device" if self.source.address.startswith("/dev/") else "location", self.source.location
            )
        if reader and self.source.caps:
            reader.set_property("caps", Gst.Caps.from_string(self.source.caps))
        self._sinks = {name: pipeline.get_by_name(name) for name in ("original", "reconstruction", "tokens")}
        self._elements = {name: pipeline.get_by_name(name) for name in ("encoder", "decoder", "depay", "line", "input")}
        # Bytes as they travel: packets of the byte stream, or payloads of RTP.
        if depay := self._elements["depay"]:
            self._watch(depay.get_static_pad("sink"), self._count)
        elif encoder := self._elements["encoder"]:
            self._watch(encoder.get_static_pad("src"), self._count)
        else:
            self._watch(pipeline.get_by_name("split").get_static_pad("sink"), self._count)
        if line := self._elements["line"]:
            # It takes no lists: what comes as one is seen again, packet by packet.
            self._watch(line.get_static_pad("sink"), self._count_sent, Gst.PadProbeType.BUFFER)
        if queue := pipeline.get_by_name("waiting"):
            self._watch(queue.get_static_pad("sink"), self._count_queued)
            self._watch(queue.get_static_pad("src"), self._count_unqueued)
        if jitter := pipeline.get_by_name("jitter"):
            self._jitter.append(jitter)
        pipeline.connect("deep-element-added", self._on_element)
        self.started = time.monotonic()
        pipeline.set_state(Gst.State.PLAYING)

    def stop(self) -> None:
        self._pipeline.set_state(Gst.State.NULL)

    def rewind(self) -> None:
        """Plays a file anew. What is shown stays until there is more."""
        self.ended, self._ended_at = False, None
        self._pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH, 0)
        self._originals.clear()
        self._maps.clear()

    def restart(self) -> None:
        self.stop()
        self._clear()
        self._pipeline = launch(self._line)
        self.start()

    def _on_element(self, _: Gst.Bin, __: Gst.Bin, element: Gst.Element) -> None:
        factory = element.get_factory()
        if factory and factory.get_name() == "rtpjitterbuffer":
            self._jitter.append(element)

    @staticmethod
    def _watch(pad: Gst.Pad, count: Callable[[Gst.Buffer], None], what: Gst.PadProbeType = PACKETS) -> None:
        def seen(_: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
            if info.type & Gst.PadProbeType.BUFFER:
                count(info.get_buffer())
            else:
                packets = info.get_buffer_list()
                for at in range(packets.length()):
                    count(packets.get(at))
            return Gst.PadProbeReturn.OK

        pad.add_probe(what, seen)

    def _count(self, buffer: Gst.Buffer) -> None:
        self._arrived += 1
        self._last_packet = time.monotonic()
        if buffer.pts != Gst.CLOCK_TIME_NONE:
            self.rate.add(buffer.pts / Gst.SECOND, buffer.get_size())

    def _count_sent(self, _: Gst.Buffer) -> None:
        self._sent += 1

    def _count_queued(self, buffer: Gst.Buffer) -> None:
        duration = buffer.duration / Gst.SECOND if buffer.duration != Gst.CLOCK_TIME_NONE else 0.0
        self._queued.came(buffer.pts, duration)

    def _count_unqueued(self, buffer: Gst.Buffer) -> None:
        self._queued.left(buffer.pts)

    # Pictures

    def poll(self, patience: float, paced: bool) -> bool:
        """Waits up to `patience` seconds for the next picture. Whether there is one, which is then in the attributes.

        With `paced`, pictures are shown evenly; without, as they come.
        """
        self._read_messages()
        until = time.monotonic() + patience
        self._collect(0.0 if self._coming else patience)
        if not self._coming:
            time.sleep(max(until - time.monotonic(), 0) if self.error or self.ended else 0)
            return False
        if paced:
            # Those that there was no time to draw are left out.
            while len(self._coming) > 1 and self._pacer.due(self._coming[1][0]) <= time.monotonic():
                self._coming.popleft()
            due = self._pacer.due(self._coming[0][0])
            time.sleep(max(min(due, until) - time.monotonic(), 0))
            if time.monotonic() < due:
                return False
        self._show(*self._coming.popleft())
        return True

    def _show(self, at: float, picture: Picture, corrupted: bool) -> None:
        self.time, self.reconstruction, self.concealed = at, picture, corrupted
        self.shown += 1
        self.last_shown = time.monotonic()
        # The last one that is not behind, by less than a frame of any video.
        while self._originals and self._originals[0][0] <= at + 0.002:
            self.original = self._originals.popleft()[1]
        place = bisect_right([start for start, *_ in self._maps], at + 0.002)
        if place:
            _, self.tokens, lost = self._maps[place - 1]
            self.concealed = self.concealed or lost
            for _ in range(place - 1):
                self._maps.popleft()
        if self.source.live and (clock := self._pipeline.get_clock()):
            now = (clock.get_time() - self._pipeline.get_base_time()) / Gst.SECOND
            self.latency = now - at

    def _collect(self, patience: float) -> None:
        """Takes what is there. Where nothing is, waits for the next picture."""
        # A file waits for those who look at it, so not much of it is taken. A live stream does not.
        most = WAITING if self.source.live else 4
        sink = self._sinks["reconstruction"]
        while len(self._coming) < most and not self.error:
            sample = sink.emit("try-pull-sample", int(patience * Gst.SECOND))
            if not sample:
                break
            at, corrupted = self._time(sample), sample.get_buffer().has_flags(Gst.BufferFlags.CORRUPTED)
            self._pacer.came(time.monotonic(), at)
            self._coming.append((at, self._picture(sample), corrupted))
            patience = 0.0
        for name, take in (("original", self._take_original), ("tokens", self._take_tokens)):
            while (sink := self._sinks[name]) and (sample := sink.emit("try-pull-sample", 0)):
                take(sample)

    @staticmethod
    def _time(sample: Gst.Sample) -> float:
        """Running time in seconds."""
        at = sample.get_segment().to_running_time(Gst.Format.TIME, sample.get_buffer().pts)
        return at / Gst.SECOND if at != Gst.CLOCK_TIME_NONE else 0.0

    @staticmethod
    def _picture(sample: Gst.Sample) -> Picture:
        caps = sample.get_caps().get_structure(0)
        width, height = caps.get_int("width")[1], caps.get_int("height")[1]
        return Picture(np.frombuffer(bytes_of(sample.get_buffer()), np.uint8).reshape(height, width, 4))

    def _take_original(self, sample: Gst.Sample) -> None:
        self._originals.append((self._time(sample), self._picture(sample)))
        if self.original is None:
            self.original = self._originals[0][1]

    def _take_tokens(self, sample: Gst.Sample) -> None:
        layout = self._read_caps(sample.get_caps().get_structure(0))
        buffer = sample.get_buffer()
        tokens = layout.read(bytes_of(buffer))
        pictures = colours(tokens, layout, self._spread)
        runs = concealed_runs(buffer)
        mark_lost(pictures, runs)
        start = self._time(sample)
        duration = buffer.duration / Gst.SECOND if buffer.duration != Gst.CLOCK_TIME_NONE else 0.0
        shown = (self.video[0] / self._space_factor, self.video[1] / self._space_factor)
        for number, rgb in enumerate(pictures):
            at = start + number * duration / len(pictures)
            self._maps.append((at, Picture(as_pixels(rgb), shown, cells=True), bool(runs)))

    def _read_caps(self, caps: Gst.Structure) -> Tokens:
        def number(name: str) -> int:
            return caps.get_int(name)[1]

        _, levels = caps.get_array("levels") if caps.has_field("levels") else (False, None)
        self.layout = Tokens(
            height=number("grid-height"),
            width=number("grid-width"),
            token_type=caps.get_string("token-type") or "",
            levels=tuple(levels.get_nth(at) for at in range(levels.n_values)) if levels else (),
            channels=number("channels") if caps.has_field("channels") else 1,
        )
        self.model = caps.get_string("model") or ""
        self.video, self._space_factor = (number("width"), number("height")), number("space-factor")
        _, numerator, denominator = caps.get_fraction("framerate")
        self.framerate = numerator / denominator if denominator else 0.0
        return self.layout

    # What goes on

    def _read_messages(self) -> None:
        kinds = Gst.MessageType.ERROR | Gst.MessageType.EOS | Gst.MessageType.WARNING
        while message := self._pipeline.get_bus().pop_filtered(kinds):
            if message.type == Gst.MessageType.WARNING:
                # In its stead, autovideosrc shows a test picture.
                if self.source.address == "camera" and message.src.get_name().startswith("autovideosrc"):
                    self.error = self.error or "none was found"
            elif message.type == Gst.MessageType.ERROR:
                # The first one; others follow from it.
                self.error = self.error or self._words(message)
            else:
                self.ended = True
        if self._ended_at is None and (self.error or self.ended):
            self._ended_at = time.monotonic()

    def _words(self, message: Gst.Message) -> str:
        """What an error says, or more than that where GStreamer says little."""
        error, _ = message.parse_error()
        if self.source.network and error.matches(Gst.ResourceError.quark(), Gst.ResourceError.OPEN_READ_WRITE):
            return "nobody answers there"
        if self.source.network and error.matches(Gst.ResourceError.quark(), Gst.ResourceError.READ):
            return "it does not answer"
        if self.source.network and error.matches(Gst.ResourceError.quark(), Gst.ResourceError.SETTINGS):
            return "this machine has no such address, or another program has the port"
        # Sources stop so where nobody takes what they read.
        stopped = error.matches(Gst.StreamError.quark(), Gst.StreamError.FAILED)
        if stopped and self.source.network and not self.layout:
            return "what comes from there are no tokens"
        if stopped and self.source.has_original and self.reconstruction is None and self.input_size() is None:
            return "it has no video that GStreamer decodes"
        return error_of(message)

    def over(self) -> bool:
        """Whether all pictures of the stream were shown."""
        return self.ended and not self._coming

    def packets_come(self) -> bool:
        """Whether there was one within the last seconds."""
        return self._last_packet is not None and time.monotonic() - self._last_packet < RETRY

    def is_time_to_retry(self) -> bool:
        """Some seconds after the error or end, so that there is time to read what it was."""
        return self._ended_at is not None and time.monotonic() - self._ended_at > RETRY

    def silence(self) -> float:
        """Seconds since the last picture, or since the start."""
        return time.monotonic() - max(self.last_shown or 0.0, self.started)

    def stat(self, element: str, name: str) -> float | None:
        """A field of an element's statistics. None: there is no such element, or no such field yet."""
        found = self._elements.get(element)
        stats = found.get_property("stats") if found else None
        value = stats.get_value(name) if stats and stats.has_field(name) else None
        return float(value) if isinstance(value, int | float) else None

    def input_size(self) -> tuple[int, int] | None:
        """Of the video that is tokenized here. None: there is none yet."""
        split = self._elements.get("input")
        caps = split.get_static_pad("sink").get_current_caps() if split else None
        found = caps.get_structure(0) if caps else None
        return (found.get_int("width")[1], found.get_int("height")[1]) if found else None

    def dropped(self) -> int:
        """Frames that encoder and decoder left out, or had no time for."""
        dropped = sum(self.stat(element, "dropped") or 0 for element in ("encoder", "decoder"))
        return int(dropped) + round(self._queued.dropped * self.framerate)

    def packets(self) -> tuple[int, int] | None:
        """RTP packets that are lost, and those that came."""
        if self._elements["line"]:
            return self._sent - self._arrived, self._arrived
        if not self.source.network:
            return None
        lost = came = 0
        for jitter in self._jitter:
            stats = jitter.get_property("stats")
            lost += stats.get_value("num-lost")
            came += stats.get_value("num-pushed")
        return lost, came

    def concealed_share(self) -> float | None:
        """Percent of cells that did not come. None: it is no RTP."""
        cells, frames = self.stat("depay", "concealed-cells"), self.stat("depay", "latent-frames")
        if cells is None or frames is None or not self.layout:
            return None
        return share(int(cells), int(frames * self.layout.cells - cells))

    def real_time_factor(self) -> float | None:
        return together(self.stat(element, "real-time-factor") or 0 for element in ("encoder", "decoder"))

    def step_ms(self) -> float:
        """What encoder and decoder took together for the last steps, on the average."""
        return sum(self.stat(element, "step-ms-mean") or 0 for element in ("encoder", "decoder"))


def concealed_runs(buffer: Gst.Buffer) -> list[tuple[int, int]]:
    """Runs of cells that `rtpvidtokdepay` made up."""
    meta = buffer.get_custom_meta("GstVidtokConcealed")
    found, runs = meta.get_structure().get_array("runs") if meta else (False, None)
    numbers = [runs.get_nth(at) for at in range(runs.n_values)] if found and runs else []
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def as_pixels(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`[h, w, 3]` as `[h, w, 4]` of blue, green, red and nothing."""
    return np.ascontiguousarray(np.concatenate([rgb[..., ::-1], np.zeros_like(rgb[..., :1])], axis=-1))
