"""What happens to the line, and when: all of it follows from a seed."""

import random
from dataclasses import dataclass
from typing import Any

# Without anything that disturbs, so that the last frames arrive.
QUIET_END = 4.0
# Until the line runs.
QUIET_START = 3.0
SIZES = ((64, 64), (128, 96), (256, 192), (200, 120))
RATES = (15, 25, 30)
KINDS = ("loss", "burst", "key", "caps", "pause", "gap", "pause-receiver")


@dataclass(frozen=True)
class Event:
    at: float
    """Seconds from the beginning."""
    kind: str
    arguments: dict[str, Any]


def plan(seed: int, seconds: float) -> list[Event]:
    """Events in the order of their times. Each kind comes before any comes again."""
    draw = random.Random(seed)
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
    "pause-receiver": lambda draw: {"seconds": draw.uniform(0.1, 1)},
}
