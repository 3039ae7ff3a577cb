"""One camera: a thread of its own that starts its pipeline, listens to it, and starts it again."""

import time
from collections import Counter
from pathlib import Path
from threading import Event, Lock, Thread
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
        self._lock = Lock()
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

    def stop(self) -> None:
        """Ends the pipeline and the thread."""
        self._stopping.set()
        with self._lock:
            if self._running is not None:
                message = Gst.Message.new_application(None, Gst.Structure.new_empty("stop"))
                self._running[0].get_bus().post(message)
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
            pipeline = build(self.settings, self._folder)
        except (GLib.Error, Missing) as error:
            self._fail(getattr(error, "message", str(error)))
            return
        lateness = Lateness(pipeline.get_by_name(self.network).get_static_pad("src"))
        with self._lock:
            self._running = (pipeline, lateness)
        self.state = "playing"
        if pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE:
            # Most elements say why, and are heard below.
            self._fail("it does not start")
            pipeline.get_bus().post(Gst.Message.new_application(None, Gst.Structure.new_empty("failed")))
        self._listen(pipeline)
        # The counts are read before NULL, and are not lost between.
        counted, _ = self.statistics()
        late = self.lateness()
        with self._lock:
            self._running = None
            self._before, (self._late_before, self._late_sum_before) = counted, late
        lateness.close()
        pipeline.set_state(Gst.State.NULL)

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
                    pipeline.set_state(Gst.State.PAUSED)
                    pipeline.set_state(Gst.State.PLAYING)

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
