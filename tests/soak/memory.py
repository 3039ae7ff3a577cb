"""The process's memory over time. Free of GStreamer."""

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

PERIOD = 0.5


@dataclass
class Memory:
    """Resident memory, taken twice a second by a thread of its own."""

    samples: list[tuple[float, int]] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            self.samples.append((time.monotonic() - self._began, resident_kb()))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def growth_kb(samples: list[tuple[float, int]], seconds: float) -> tuple[float, float, float]:
    """Medians of the second and of the last window, and how much the last is larger.

    A window is a minute, or a quarter of a run that is shorter than four minutes. The first window is left out: caches
    fill up, and each size of picture comes for the first time.
    """
    window = min(60.0, seconds / 4)
    second = [kb for at, kb in samples if window <= at < 2 * window]
    last = [kb for at, kb in samples if seconds - window <= at < seconds]
    before, after = statistics.median(second), statistics.median(last)
    return before, after, after - before
