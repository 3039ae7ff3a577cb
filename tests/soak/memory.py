"""The process's memory over time. Free of GStreamer."""

import statistics
from array import array
from pathlib import Path
from threading import Event, Thread

PERIOD = 0.5
SETTLED = 5.0


class Memory:
    """Resident memory, taken by a thread of its own."""

    def __init__(self, seconds: float) -> None:
        # It has its size from the beginning, as it is part of what it measures.
        self._samples = array("q", bytes(8 * int(seconds / PERIOD + 1)))
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for index in range(len(self._samples)):
            if self._stop.wait(PERIOD):
                return
            self._samples[index] = resident_kb()

    def stop(self) -> list[tuple[float, int]]:
        """Seconds from the beginning, and kB."""
        self._stop.set()
        self._thread.join()
        return [((index + 1) * PERIOD, kb) for index, kb in enumerate(self._samples) if kb]


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def medians_kb(samples: list[tuple[float, int]], windows: tuple[tuple[float, float], ...]) -> list[float]:
    """The median of each window, but for its first seconds, in which the networks for its pictures are made."""
    return [
        statistics.median(kb for at, kb in samples if min(begins + SETTLED, (begins + ends) / 2) <= at < ends)
        for begins, ends in windows
    ]


def by_minute_kb(samples: list[tuple[float, int]]) -> list[float]:
    """The median of each minute."""
    per_minute = int(60 / PERIOD)
    minutes = [samples[first : first + per_minute] for first in range(0, len(samples), per_minute)]
    return [statistics.median(kb for _, kb in minute) for minute in minutes]
