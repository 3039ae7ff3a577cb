"""The process's memory over time. Free of GStreamer."""

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

PERIOD = 0.5
SETTLED = 5.0


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


def medians_kb(samples: list[tuple[float, int]], windows: tuple[tuple[float, float], ...]) -> list[float]:
    """The median of each window, but for its first seconds, in which the networks for its pictures are made."""
    return [
        statistics.median(kb for at, kb in samples if min(begins + SETTLED, (begins + ends) / 2) <= at < ends)
        for begins, ends in windows
    ]
