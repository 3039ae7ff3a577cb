"""How many streams a machine holds, by what was measured; and whether it does. Free of GStreamer."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Live streams wait for clocks and wake up one by one, which costs more than to run at full speed.
HEADROOM = 0.95
# The check's tolerance: a share of what holds, and never less than a stream.
TOLERANCE = 0.15
# How much lateness may grow over a run, as a share of the latency.
MAX_GROWTH = 0.1
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


@dataclass(frozen=True)
class Answer:
    streams: int
    by_processors: int
    by_memory: int | None
    """`None`: one stream more costs no memory that could be measured."""

    @property
    def limit(self) -> str:
        is_memory = self.by_memory is not None and self.by_memory < self.by_processors
        return "memory" if is_memory else "the processors"


def answer(runs: Sequence[Run], fps: float, free: int) -> Answer:
    """`runs`: the first with one stream, the last with the number that is nearest. `free`: bytes."""
    by_processors = int(HEADROOM * runs[-1].frames_per_second / fps)
    by_memory = None
    one, most = runs[0], max(runs, key=lambda run: run.streams)
    more = (most.memory - one.memory) / max(most.streams - one.streams, 1)
    if more > 0:
        by_memory = max(0, 1 + int((free - one.memory) / more))
    elif one.memory > free:
        by_memory = 0
    return Answer(min(by_processors, by_processors if by_memory is None else by_memory), by_processors, by_memory)


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
