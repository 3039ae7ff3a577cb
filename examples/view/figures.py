"""What the viewer measures, and when it shows a picture: arithmetic on times, which are seconds."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Rate:
    """Bits per second over the last seconds of the video."""

    seconds: float = 2.0
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    # Bytes are counted where they flow, and read where they are shown.
    _lock: Lock = field(default_factory=Lock)

    def add(self, time: float, size: int) -> None:
        with self._lock:
            self._add(time, size)

    def _add(self, time: float, size: int) -> None:
        if self._seen and time < self._seen[-1][0] - 0.5:
            # The stream began anew.
            self._seen.clear()
        self._seen.append((time, size))
        while self._seen and self._seen[0][0] < time - self.seconds:
            self._seen.popleft()

    def bits(self) -> float | None:
        """None: there is less than half a second to judge by."""
        with self._lock:
            seen = list(self._seen)
        if not seen:
            return None
        span = seen[-1][0] - seen[0][0]
        if span < 0.5:
            return None
        # What the last one holds is shown after its time.
        return 8 * sum(size for _, size in seen[:-1]) / span


@dataclass
class Pacer:
    """Spreads pictures that come in bursts. The delay is the longest of the last seconds, so it adapts both ways."""

    seconds: float = 10.0
    _delays: deque[tuple[float, float]] = field(default_factory=deque)

    def came(self, now: float, time: float) -> None:
        """A picture of this time came now."""
        delay = now - time
        while self._delays and self._delays[-1][1] <= delay:
            self._delays.pop()
        self._delays.append((now, delay))
        while self._delays[0][0] < now - self.seconds:
            self._delays.popleft()

    def due(self, time: float) -> float:
        """When to show a picture of this time."""
        return time + (self._delays[0][1] if self._delays else 0.0)


@dataclass
class Queued:
    """What a queue dropped, by what comes and what leaves."""

    dropped: float = 0.0
    """Seconds of video."""
    # Time stamp and duration. Threads only append and pop, which deques do at once.
    _inside: deque[tuple[int, float]] = field(default_factory=deque)

    def came(self, stamp: int, duration: float) -> None:
        self._inside.append((stamp, duration))

    def left(self, stamp: int) -> None:
        """A queue drops what is oldest, so what is older than this was dropped."""
        while self._inside:
            oldest, duration = self._inside.popleft()
            if oldest == stamp:
                return
            self.dropped += duration


def share(part: int, rest: int) -> float:
    """`part` of both together, in percent."""
    return 100 * part / (part + rest) if part + rest else 0.0


def together(factors: Iterable[float]) -> float | None:
    """The real-time factor of steps one after the other, from that of each. None: there is none."""
    known = [factor for factor in factors if factor > 0]
    return 1 / sum(1 / factor for factor in known) if known else None


def bit_rate(bits: float | None) -> str:
    if bits is None:
        return "–"
    return f"{bits / 1e6:.2f} Mbit/s" if bits >= 1e6 else f"{bits / 1e3:.0f} kbit/s"


def factor(value: float | None) -> str:
    if value is None:
        return "–"
    return f"×{value:.0f}" if value >= 10 else f"×{value:.2g}"


def percent(value: float) -> str:
    return f"{value:.1f} %" if 0 < value < 10 else f"{value:.0f} %"
