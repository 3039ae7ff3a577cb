"""Which packets a line loses. Pure and seeded: the same seed loses the same packets on every machine."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line that loses `rate` of its packets (0 up to, but not, 1): independently of each other, or in bursts.

    `burst` is the mean length of a burst in packets: the model of Gilbert and Elliott, whose good state loses nothing
    and whose bad state loses everything. `None`: independently.
    """

    rate: float
    burst: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise ValueError(f"a line cannot lose {self.rate:.0%} of its packets: at least 0%, less than 100%")
        if self.burst is not None and self.burst < max(1, self.rate / (1 - self.rate)):
            raise ValueError(
                f"bursts of {self.burst:g} packets are too short to lose {self.rate:.0%}:"
                " even with single packets between them they lose less"
            )

    def losses(self, seed: str) -> Iterator[bool]:
        """For one packet after the other, without end, whether it is lost."""
        numbers = random.Random(seed)
        if self.burst is None:
            while True:
                yield numbers.random() < self.rate
        # The chances that a burst ends, and that one begins: they make `rate` the share of lost packets.
        ends = 1 / self.burst
        begins = ends * self.rate / (1 - self.rate)
        lost = numbers.random() < self.rate
        while True:
            yield lost
            lost = numbers.random() >= ends if lost else numbers.random() < begins


def lost_packets(line: Line, seed: str, packets: int, protected: int) -> frozenset[int]:
    """The positions of lost ones among so many packets. The first `protected` ones always arrive."""
    losses = line.losses(seed)
    return frozenset(at for at in range(packets) if next(losses) and at >= protected)
