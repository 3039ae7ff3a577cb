"""One camera: a thread of its own that starts its pipeline, listens to it, and starts it again."""

import time
from collections import Counter
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

from lateness import BOUNDS, Lateness  # noqa: E402
from pipelines import Missing, build  # noqa: E402
from settings import Backoff, Settings, without_password  # noqa: E402

# Fields of the network's and of the depayloader's stats that count up, and those that tell of the moment.
COUNTED = ("frames", "latent-frames", "bytes", "segments", "dropped", "gaps", "uncertain-frames")
PACKETS = ("packets", "concealed-cells", "concealed-latent-frames", "holes", "late", "held", "key-requests")
MEASURED = ("step-ms-mean", "step-ms-max", "real-time-factor", "latency-ms", "lateness-ms")
KINDS = Gst.MessageType.ERROR | Gst.MessageType.WARNING | Gst.MessageType.EOS | Gst.MessageType.APPLICATION
KINDS |= Gst.MessageType.LATENCY | Gst.MessageType.CLOCK_LOST
# Cameras are threads: see lateness.py.
PAUSED, PLAYING, NULL = Gst.State.PAUSED, Gst.State.PLAYING, Gst.State.NULL
FAILURE = Gst.StateChangeReturn.FAILURE
# Seconds that a sender has to encode what waits, and to end its stream.
ENDING = 5


class Camera:
    """Its error touches no other camera. What it counts goes on when it is started again."""

    def __init__(self, settings: Settings, folder: Path | None) -> None:
        self.settings = settings
        self.state = "starting"
        self.error = ""
        """Why it failed last, also while it is tried again."""
        self.warning = ""
        self.restarts = 0
        self._folder = folder
        self._stopping = Event()
        self._lock = RLock()
        # The pipeline, and lateness at its network; `None` while it does not run.
        self._running: tuple[Any, Lateness] | None = None
        # What pipelines before the current one counted.
        self._before: Counter[str] = Counter()
        self._late_before, self._late_sum_before = [0] * len(BOUNDS), 0.0
        self._thread = Thread(target=self._run, name=settings.name, daemon=True)
        self._thread.start()

    @property
    def network(self) -> str:
        return "decoder" if self.settings.kind == "receive" else "encoder"

    def end(self) -> None:
        """Lets the pipeline and the thread end, without waiting for them."""
        self._stopping.set()
        with self._lock:
            if self._running is not None:
                message = Gst.Message.new_application(None, Gst.Structure.new_empty("stop"))
                self._running[0].get_bus().post(message)

    def stop(self) -> None:
        """Ends the pipeline and the thread."""
        self.end()
        self._thread.join()

    def status(self) -> dict[str, Any]:
        counted, measured = self.statistics()
        return {
            **self.settings.public(),
            "state": self.state,
            "error": self.error,
            "warning": self.warning,
            "restarts": self.restarts,
            "frames": counted["frames"],
            "dropped": counted["dropped"],
            "step-ms-mean": measured.get("step-ms-mean", 0.0),
        }

    def statistics(self) -> tuple[Counter[str], dict[str, float]]:
        """Counters since the camera was added, and measurements of the moment."""
        with self._lock:
            counted, measured = Counter(self._before), {}
            if self._running is not None:
                pipeline = self._running[0]
                counted.update(read_stats(pipeline.get_by_name(self.network), COUNTED))
                counted.update(read_stats(pipeline.get_by_name("depayloader"), PACKETS))
                measured.update(read_stats(pipeline.get_by_name(self.network), MEASURED))
        return counted, measured

    def lateness(self) -> tuple[list[int], float]:
        """Buffers by bucket, and the sum of their lateness in seconds."""
        with self._lock:
            buckets, total = self._late_before, self._late_sum_before
            if self._running is None:
                return list(buckets), total
            now, more = self._running[1].snapshot()
        return [before + here for before, here in zip(buckets, now, strict=True)], total + more

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            began = time.monotonic()
            self._play()
            ends = self.settings.restart == "never" or self.settings.restart == "on-error" and self.state == "ended"
            if ends or self._stopping.wait(backoff.wait(time.monotonic() - began)):
                break
            self.restarts += 1
        if self._stopping.is_set():
            self.state = "stopped"

    def _play(self) -> None:
        """Runs one pipeline until it ends, fails, or is to stop."""
        self.state = "starting"
        try:
            # What was written before an error is kept: streams are joined by joining their bytes.
            pipeline = build(self.settings, self._folder, appends=self.restarts > 0)
        except (GLib.Error, Missing) as error:
            self._fail(getattr(error, "message", str(error)))
            return
        lateness = Lateness(pipeline.get_by_name(self.network).get_static_pad("src"))
        with self._lock:
            self._running = (pipeline, lateness)
        self.state = "playing"
        if pipeline.set_state(PLAYING) == FAILURE:
            # Most elements say why, and are heard below.
            self._fail("it does not start")
            pipeline.get_bus().post(Gst.Message.new_application(None, Gst.Structure.new_empty("failed")))
        self._listen(pipeline)
        if self._stopping.is_set() and self.state == "playing":
            self._finish(pipeline)
        # The counts are read before NULL, which resets them. Nobody reads others meanwhile, so that none goes back.
        with self._lock:
            self._before, _ = self.statistics()
            self._late_before, self._late_sum_before = self.lateness()
            self._running = None
        lateness.close()
        pipeline.set_state(NULL)

    def _listen(self, pipeline: Any) -> None:
        bus = pipeline.get_bus()
        while not self._stopping.is_set():
            message = bus.timed_pop_filtered(Gst.CLOCK_TIME_NONE, KINDS)
            match message.type:
                case Gst.MessageType.ERROR:
                    self._fail(f"{message.src.get_name()}: {reason(*message.parse_error())}")
                    return
                case Gst.MessageType.WARNING:
                    self.warning = f"{message.src.get_name()}: {reason(*message.parse_warning())}"
                case Gst.MessageType.EOS:
                    self.state = "ended"
                    return
                case Gst.MessageType.LATENCY:
                    pipeline.recalculate_latency()
                case Gst.MessageType.APPLICATION:
                    return
                case Gst.MessageType.CLOCK_LOST:
                    pipeline.set_state(PAUSED)
                    pipeline.set_state(PLAYING)

    def _finish(self, pipeline: Any) -> None:
        """Encodes what waits, and writes the end mark of the stream: without it, it looks as if it was cut off."""
        network = pipeline.get_by_name("encoder")
        # A pipeline whose source has given nothing reports no end.
        if network is None or not read_stats(network, COUNTED)["frames"]:
            return
        queue = network.get_static_pad("sink").get_peer().get_parent_element()
        queue.get_static_pad("sink").send_event(Gst.Event.new_eos())
        kinds = Gst.MessageType.ERROR | Gst.MessageType.EOS
        pipeline.get_bus().timed_pop_filtered(ENDING * Gst.SECOND, kinds)

    def _fail(self, why: str) -> None:
        self.error, self.state = why, "failed"


def reason(error: GLib.Error, details: str | None) -> str:
    """What an element says, and what it says to programmers, where that is more."""
    more = (details or "").rpartition("\n")[2].strip()
    is_more = more and more not in error.message and "\n" in (details or "")
    return without_password(f"{error.message} {more}" if is_more else error.message)


def read_stats(element: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """Those fields of an element's stats that are there."""
    if element is None:
        return {}
    fields = element.get_property("stats")
    return {name: fields.get_value(name) for name in names if fields.has_field(name)}
