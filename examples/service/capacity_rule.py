"""How many streams a machine holds, by what was measured; and whether it does. Free of GStreamer."""

import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Live streams wait for clocks and wake up one by one, which costs more than to run at full speed.
HEADROOM = 0.95
# The check's tolerance: a share of what holds, and never less than a stream.
TOLERANCE = 0.15
# How much lateness may grow over a run, as a share of the latency.
MAX_GROWTH = 0.25
# Processors that others may keep busy without a word.
NOTICED = 0.1
PROCESSOR_TIMES = Path("/proc/stat")
MEMINFO = Path("/proc/meminfo")
CONTROL_GROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Run:
    """So many streams side by side, at full speed."""

    streams: int
    frames_per_second: float
    """Of all streams together."""
    memory: int
    """Bytes of the process at its largest."""
    others: float = 0.0
    """Processors that other programs kept busy meanwhile."""
    processors: float = 0.0
    """Processors that the streams kept busy."""


@dataclass(frozen=True)
class Answer:
    streams: int
    by_processors: int
    by_memory: int | None
    """`None`: one stream more costs no memory that could be measured."""

    alone: int | None = None
    """How many the processors would hold if other programs did not use them; `None`: they hardly did."""

    @property
    def limit(self) -> str:
        is_memory = self.by_memory is not None and self.by_memory < self.by_processors
        return "memory" if is_memory else "the processors"


def answer(runs: Sequence[Run], fps: float, free: int) -> Answer:
    """`runs`: the first with one stream, the last with about as many as the answer. `free`: bytes."""
    by_processors = int(HEADROOM * runs[-1].frames_per_second / fps)
    last = runs[-1]
    alone = None
    if last.others > NOTICED and last.processors > 0:
        # By the processor time of a frame.
        alone = int(by_processors * (last.processors + last.others) / last.processors)
    by_memory = None
    one, most = runs[0], max(runs, key=lambda run: run.streams)
    more = (most.memory - one.memory) / max(most.streams - one.streams, 1)
    if more > 0:
        by_memory = max(0, 1 + int((free - one.memory) / more))
    elif one.memory > free:
        by_memory = 0
    streams = by_processors if by_memory is None else min(by_processors, by_memory)
    return Answer(streams, by_processors, by_memory, alone)


def free_memory() -> int:
    """Bytes that are free: the machine's, or less where a control group has less."""
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text("ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text("ascii").strip()
        used = int((CONTROL_GROUP / "memory.current").read_text("ascii"))
    except OSError:
        return free
    return free if limit == "max" else min(free, max(int(limit) - used, 0))


class Stopwatch:
    """Wall time, this process's processor time, and that of all others."""

    def __init__(self) -> None:
        self._wall, self._own, self._all = time.monotonic(), time.process_time(), busy_seconds()

    def read(self) -> tuple[float, float, float]:
        """Seconds that have passed; processors that this process has kept busy, and that others have."""
        wall = time.monotonic() - self._wall
        own = (time.process_time() - self._own) / wall
        # Two clocks of different grain.
        return wall, own, max((busy_seconds() - self._all) / wall - own, 0.0)


def busy_seconds() -> float:
    """Time of all processors since the machine began, but for idle time and the wait for disks."""
    ticks = [int(word) for word in PROCESSOR_TIMES.read_text("ascii").split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Live:
    """One live stream: what it declared, and how late its buffers were, in seconds, from the first to the last."""

    latency: float
    lateness: Sequence[float]
    dropped: int

    @property
    def p99(self) -> float:
        return percentile(self.lateness, 0.99)

    @property
    def growth(self) -> float:
        """Median lateness of the last third against that of the first."""
        third = max(len(self.lateness) // 3, 1)
        return statistics.median(self.lateness[-third:]) - statistics.median(self.lateness[:third])

    def fault(self) -> str | None:
        """Why the stream does not hold."""
        if not self.lateness:
            return "nothing came out"
        if self.dropped:
            return f"{self.dropped} frames dropped"
        if self.p99 > self.latency:
            return f"late by {self.p99 * 1e3:.0f} ms (p99), of {self.latency * 1e3:.0f}"
        if self.growth > MAX_GROWTH * self.latency:
            return f"later and later: {self.growth * 1e3:+.0f} ms"
        return None


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of all."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def is_right(said: int, holds: int) -> bool:
    """Whether an answer is near enough to what holds."""
    return abs(said - holds) <= max(1, TOLERANCE * holds)
