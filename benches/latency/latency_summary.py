"""Figures of runs: how long pictures took, and where the time went."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

PARTS = ("wait", "encode", "network", "decode", "show")


@dataclass
class Picture:
    """How long a picture took, in ms. `ahead`: how many pictures it had to wait for before it was encoded."""

    ahead: int
    total: float
    # It waits for the last picture of its latent frame, is encoded, travels (with the jitter buffer), is decoded, and
    # waits for its time.
    parts: dict[str, float]


@dataclass
class Figures:
    pictures: list[Picture] = field(default_factory=list)
    # From one shown picture to the next, in ms.
    intervals: list[float] = field(default_factory=list)
    sent: int = 0
    # Were not shown, or with a number that could not be read; the latter are unread, too.
    missing: int = 0
    unread: int = 0

    def add(self, other: "Figures") -> None:
        self.pictures += other.pictures
        self.intervals += other.intervals
        self.sent += other.sent
        self.missing += other.missing
        self.unread += other.unread

    def totals(self) -> list[float]:
        return [picture.total for picture in self.pictures]

    def by_ahead(self) -> dict[int, list[Picture]]:
        counts = sorted({picture.ahead for picture in self.pictures}, reverse=True)
        return {count: [picture for picture in self.pictures if picture.ahead == count] for count in counts}


def figures(sent: Mapping[str, object], received: Mapping[str, object], settle: int) -> Figures:
    """Of a run. The first `settle` frames do not count."""
    captured: Sequence[int] = sent["captured"]
    # Of each frame: when it was encoded, and the last frame that it waited for.
    encoded: dict[int, tuple[int, int]] = {}
    for now, first, count in sent["encoded"]:
        last = min(first + count, len(captured)) - 1
        encoded |= {frame: (now, last) for frame in range(first, last + 1)}
    shown = received["shown"]
    seen = Counter(number for number, *_ in shown)
    counted = range(settle, len(captured))
    found = Figures(sent=len(counted))
    found.missing = sum(seen[frame] != 1 for frame in counted)
    moments = [now for number, *_, now in shown if number in counted]
    found.intervals = [(b - a) / 1e6 for a, b in pairwise(moments)]
    for number, came, decoded, now in shown:
        # A number that was read twice, or was never sent, was misread.
        if number not in encoded or seen[number] > 1:
            found.unread += 1
            continue
        if number not in counted:
            continue
        out, last = encoded[number]
        steps = (captured[number], captured[last], out, came, decoded, now)
        parts = {part: (b - a) / 1e6 for part, a, b in zip(PARTS, steps[:-1], steps[1:], strict=True)}
        found.pictures.append(Picture(last - number, (now - captured[number]) / 1e6, parts))
    return found


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__trunc__() - 1)]


def row(found: Figures) -> dict[str, object]:
    """Figures of a series, in ms."""
    totals = found.totals()
    if not found.intervals:
        return {"pictures": 0, "sent": found.sent, "missing": found.missing, "unread": found.unread}
    parts = {part: statistics.median(picture.parts[part] for picture in found.pictures) for part in PARTS}
    ahead = {count: statistics.median(p.total for p in pictures) for count, pictures in found.by_ahead().items()}
    return {
        "pictures": len(totals),
        "sent": found.sent,
        "missing": found.missing,
        "unread": found.unread,
        "p50": statistics.median(totals),
        "p99": percentile(totals, 99),
        "max": max(totals),
        "min": min(totals),
        "interval-p50": statistics.median(found.intervals),
        "interval-p99": percentile(found.intervals, 99),
        "parts-p50": parts,
        "ahead-p50": ahead,
    }
