"""What happens to the line, and when: all of it follows from a seed."""

import random
from dataclasses import dataclass
from typing import Any

# Without anything that disturbs, so that the last frames arrive.
QUIET_END = 4.0
# Until the line runs.
QUIET_START = 3.0
SIZES = ((64, 64), (96, 128), (192, 144), (160, 80))
RATES = (15, 25, 30)
# While memory is measured: the largest pictures.
MEASURED_CAPS = {"size": (192, 144), "rate": 30}
KINDS = ("loss", "burst", "key", "caps", "pause", "gap")


@dataclass(frozen=True)
class Event:
    at: float
    """Seconds from the beginning."""
    kind: str
    arguments: dict[str, Any]


def windows(seconds: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """When memory is compared: the second and the last minute, or quarter of a run that is shorter than four minutes.

    Before them caches fill up. In both, pictures have the same size, as memory depends on it.
    """
    window = min(60.0, seconds / 4)
    return (window, 2 * window), (seconds - window, seconds)


def plan(seed: int, seconds: float) -> list[Event]:
    """Events in the order of their times. Each kind comes before any comes again."""
    draw = random.Random(seed)
    measured = windows(seconds)
    events = [Event(begins, "caps", MEASURED_CAPS) for begins, _ in measured]
    events += disturbances(draw, seconds)
    # New caps that a window begins with, or that would come within one, would change what is compared.
    is_measured = lambda event: any(begins < event.at < ends for begins, ends in measured)  # noqa: E731
    kept = [event for event in events if event.kind != "caps" or not is_measured(event)]
    return sorted(kept, key=lambda event: event.at)


def disturbances(draw: random.Random, seconds: float) -> list[Event]:
    events: list[Event] = []
    deck: list[str] = []
    at = QUIET_START
    while True:
        if not deck:
            deck = draw.sample(KINDS, len(KINDS))
        kind = deck.pop()
        arguments = ARGUMENTS[kind](draw)
        ends = at + float(arguments.get("seconds", 0))
        if ends > seconds - QUIET_END:
            return events
        events.append(Event(at, kind, arguments))
        at = ends + draw.uniform(1, 4)


ARGUMENTS = {
    # A share of all packets, for a while.
    "loss": lambda draw: {"share": draw.choice((0.01, 0.05, 0.2, 0.5)), "seconds": draw.uniform(1, 6)},
    # So many packets in a row, but no longer than that; the longest are longer than what is concealed.
    "burst": lambda draw: {"packets": draw.choice((1, 2, 5, 20, 60)), "seconds": 6},
    "key": lambda draw: {},
    "caps": lambda draw: {"size": draw.choice(SIZES), "rate": draw.choice(RATES)},
    "pause": lambda draw: {"seconds": draw.uniform(0.3, 3)},
    "gap": lambda draw: {"seconds": draw.uniform(0.2, 3)},
}
