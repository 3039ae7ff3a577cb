"""Streams side by side in this process: at full speed, or live as the service runs them."""

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from capacity_rule import Live, Run, Stopwatch  # noqa: E402
from lateness import Lateness  # noqa: E402
from pipelines import QUEUE, build, set_network  # noqa: E402
from settings import Settings  # noqa: E402

# Seconds before a measurement, in which networks are made and caches filled.
WARM_UP = 1.5
LIVE_WARM_UP = 4.0
# Seconds between the starts of live streams, on average: a process that starts them all at once begins late.
APART = 0.3
# Cameras with genlock take their pictures at the same instants. Streams of ours do so, and have groups at the same
# instants, where their starts are so many frames apart: a multiple of every group's length.
IN_STEP = 16
# Seconds that streams at full speed have for their first frames.
PATIENCE = 120
# Seconds that a clip to read from lasts.
CLIP = 60
ROLES = ("encode", "decode", "both")
INPUTS = ("raw", "h264")


class Broken(RuntimeError):
    """A pipeline's own error."""


@dataclass(frozen=True)
class Load:
    """What each stream is."""

    role: str
    width: int
    height: int
    fps: int
    input: str
    size: str
    model: str
    threads: int
    in_phase: bool = False
    """Live: pictures of all streams come at the same instants."""

    def video(self) -> str:
        return f"video/x-raw,format=I420,width={self.width},height={self.height},framerate={self.fps}/1"

    def settings(self, name: str, **more: Any) -> Settings:
        kept = {"size": self.size, "model": self.model, "threads": self.threads}
        size = {"width": self.width, "height": self.height, "framerate": self.fps}
        return Settings(name=name, **kept, **size, **more)


def make_clip(load: Load, folder: Path) -> None:
    """What streams read: a video, or tokens of one."""
    source = f"videotestsrc pattern=ball num-buffers={CLIP * load.fps} ! {load.video()}"
    if load.role == "decode":
        model = Gst.parse_launch(f"{source} ! vidtokenc name=encoder key-interval=60 ! filesink name=sink")
        set_network(model.get_by_name("encoder"), load.settings("clip"))
        if load.size:
            model.get_by_name("encoder").set_property("size", load.size)
        pipeline, path = model, folder / "clip.vidtok"
    elif load.input == "h264":
        coder = "x264enc speed-preset=superfast key-int-max=60 ! h264parse ! matroskamux"
        pipeline, path = Gst.parse_launch(f"{source} ! {coder} ! filesink name=sink"), folder / "clip.mkv"
    else:
        return
    pipeline.get_by_name("sink").set_property("location", str(path))
    pipeline.set_state(Gst.State.PLAYING)
    end = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if end.type == Gst.MessageType.ERROR:
        raise Broken(end.parse_error()[0].message)


class FullSpeed:
    """One stream without a clock."""

    def __init__(self, load: Load, folder: Path, port: int) -> None:
        if load.role == "decode":
            line = "filesrc name=file ! vidtokparse"
        else:
            source = f"videotestsrc pattern=ball ! {load.video()}"
            if load.input == "h264":
                source = "filesrc name=file ! matroskademux ! decodebin"
            line = f"{source} ! {QUEUE} ! vidtokenc name=encoder key-interval=60"
        line += " ! rtpvidtokpay config-interval=-1"
        if load.role == "encode":
            line += f" ! udpsink host=127.0.0.1 port={port} sync=false async=false"
        else:
            line += " ! rtpvidtokdepay ! queue ! vidtokdec name=decoder ! fakesink sync=false"
        self.pipeline = Gst.parse_launch(line)
        settings = load.settings("stream")
        for name in ("encoder", "decoder"):
            if (element := self.pipeline.get_by_name(name)) is not None:
                set_network(element, settings)
        if (file := self.pipeline.get_by_name("file")) is not None:
            file.set_property("location", str(folder / ("clip.vidtok" if load.role == "decode" else "clip.mkv")))
        if load.size and load.role != "decode":
            self.pipeline.get_by_name("encoder").set_property("size", load.size)
        self._counted = self.pipeline.get_by_name("encoder" if load.role == "encode" else "decoder")
        # It takes processor time, and the service has it, too.
        networks = (self.pipeline.get_by_name(name) for name in ("encoder", "decoder"))
        self._lateness = [Lateness(network.get_static_pad("src")) for network in networks if network is not None]

    def frames(self) -> int:
        return self._counted.get_property("stats").get_value("frames")

    def close(self) -> None:
        self.pipeline.set_state(Gst.State.NULL)
        for lateness in self._lateness:
            lateness.close()


def at_full_speed(load: Load, count: int, seconds: float, folder: Path) -> Run:
    # What comes to it is never read: the kernel drops it.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nowhere:
        nowhere.bind(("127.0.0.1", 0))
        streams = [FullSpeed(load, folder, nowhere.getsockname()[1]) for _ in range(count)]
        for stream in streams:
            stream.pipeline.set_state(Gst.State.PLAYING)
        try:
            pipelines = [stream.pipeline for stream in streams]
            ends = time.monotonic() + PATIENCE
            while waiting := sum(stream.frames() == 0 for stream in streams):
                if time.monotonic() >= ends:
                    raise Broken(too_slow(waiting, count))
                listen(pipelines, 0.05)
            listen(pipelines, WARM_UP)
            before, watch = sum(stream.frames() for stream in streams), Stopwatch()
            listen(pipelines, seconds)
            frames, (took, own, others) = sum(stream.frames() for stream in streams) - before, watch.read()
        finally:
            for stream in streams:
                stream.close()
    return Run(count, frames / took, peak_memory(), others, own)


def too_slow(waiting: int, count: int) -> str:
    what = "the stream" if count == 1 else f"{waiting} of {count} streams at full speed"
    advice = "take a smaller --size or another --model, or see by GST_DEBUG=3 what they wait for"
    return f"{what} gave no frame within {PATIENCE} s: {advice}"


def listen(pipelines: list[Any], seconds: float) -> None:
    """Waits. A pipeline that reaches the end of its clip begins anew."""
    ends = time.monotonic() + seconds
    kinds = Gst.MessageType.ERROR | Gst.MessageType.EOS | Gst.MessageType.LATENCY
    while time.monotonic() < ends:
        for pipeline in pipelines:
            while (message := pipeline.get_bus().pop_filtered(kinds)) is not None:
                match message.type:
                    case Gst.MessageType.ERROR:
                        raise Broken(f"{message.src.get_name()}: {message.parse_error()[0].message}")
                    case Gst.MessageType.LATENCY:
                        pipeline.recalculate_latency()
                    case _:
                        pipeline.seek_simple(Gst.Format.TIME, Gst.SeekFlags.FLUSH, 0)
        time.sleep(min(0.05, max(ends - time.monotonic(), 0)))


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


class LiveStream:
    """One stream as the service runs it. `base_time`: the clock's time at its first picture; `None`: when it starts."""

    def __init__(self, load: Load, number: int, folder: Path, port: int, base_time: int | None) -> None:
        self.pipelines: list[Any] = []
        self._watched: list[tuple[Any, Lateness]] = []
        if load.role != "encode":
            receiver = build(load.settings(f"receiver{number}", kind="receive", port=port), None)
            self._watch(receiver, "decoder")
        if load.role == "decode":
            line = (
                f"filesrc location={folder / 'clip.vidtok'} ! vidtokparse ! clocksync ! rtpvidtokpay config-interval=-1"
            )
            self.pipelines.append(
                Gst.parse_launch(f"{line} ! udpsink host=127.0.0.1 port={port} sync=false async=false")
            )
        else:
            source = (folder / "clip.mkv").as_uri() if load.input == "h264" else "test"
            self._watch(build(load.settings(f"sender{number}", source=source, port=port), None), "encoder")
        if base_time is not None:
            # The last one sends: the other one takes the time from the packets.
            self.pipelines[-1].use_clock(Gst.SystemClock.obtain())
            self.pipelines[-1].set_start_time(Gst.CLOCK_TIME_NONE)
            self.pipelines[-1].set_base_time(base_time)
        for pipeline in self.pipelines:
            pipeline.set_state(Gst.State.PLAYING)

    def _watch(self, pipeline: Any, name: str) -> None:
        element = pipeline.get_by_name(name)
        self.pipelines.append(pipeline)
        self._watched.append((element, Lateness(element.get_static_pad("src"), keeps=True)))

    def dropped(self) -> list[int]:
        return [element.get_property("stats").get_value("dropped") for element, _ in self._watched]

    def lateness(self) -> list[int]:
        """How many values there are so far."""
        return [len(lateness.values or ()) for _, lateness in self._watched]

    def result(self, dropped: list[int], passed: list[int]) -> list[Live]:
        """What came since `dropped` and `passed` were read."""
        found = []
        for (element, lateness), before, first in zip(self._watched, dropped, passed, strict=True):
            values = [late for _, late in (lateness.values or ())[first:]]
            more = element.get_property("stats").get_value("dropped") - before
            found.append(Live(latency_of(element), values, more))
        return found

    def close(self) -> None:
        for pipeline in self.pipelines:
            pipeline.set_state(Gst.State.NULL)
        for _, lateness in self._watched:
            lateness.close()


def latency_of(element: Any) -> float:
    """What the element and those in front of it declare together, in seconds."""
    query = Gst.Query.new_latency()
    if not element.get_static_pad("src").query(query):
        return 0.0
    return query.parse_latency()[1] / Gst.SECOND


def live(load: Load, count: int, seconds: float, folder: Path) -> tuple[list[Live], float]:
    """How the streams went, and how many processors other programs kept busy."""
    streams: list[LiveStream] = []
    try:
        for number, (pause, base_time) in zip(range(count), starts(load), strict=False):
            streams.append(LiveStream(load, number, folder, free_port(), base_time))
            listen([pipeline for stream in streams for pipeline in stream.pipelines], pause)
        pipelines = [pipeline for stream in streams for pipeline in stream.pipelines]
        listen(pipelines, LIVE_WARM_UP)
        before, watch = [(stream, stream.dropped(), stream.lateness()) for stream in streams], Stopwatch()
        listen(pipelines, seconds)
        results = [result for stream, dropped, passed in before for result in stream.result(dropped, passed)]
        return results, watch.read()[2]
    finally:
        for stream in streams:
            stream.close()


def starts(load: Load) -> Iterator[tuple[float, int | None]]:
    """How long to wait behind the start of each stream, and its base time: its pictures come at chance instants, as
    those of cameras that know nothing of each other do; or at the same ones."""
    chance, clock = random.Random(load.fps), Gst.SystemClock.obtain()
    begun, period = clock.get_time(), IN_STEP * Gst.SECOND // load.fps
    while True:
        passed = clock.get_time() - begun
        base_time = begun + -(-passed // period) * period if load.in_phase else None
        yield APART * chance.uniform(0.5, 1.5), base_time


def free_port() -> int:
    """A port for a receiver that starts at once: later, a sender's socket could have it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def in_own_process(words: list[str]) -> str:
    """What another run of this program prints: a process keeps memory that it once had."""
    program = [sys.executable, str(Path(__file__).with_name("capacity.py")), *words]
    done = subprocess.run(program, capture_output=True, text=True)
    if done.returncode:
        raise Broken(done.stderr.strip() or f"a run ended with {done.returncode}")
    return done.stdout
