"""Means and spreads of runs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Run = Mapping[str, object]
NAMES = {"tokens": "tokens", "tokens-raptorq": "tokens, RaptorQ", "h264": "H.264"}


@dataclass(frozen=True)
class Series:
    """What a curve stands for."""

    coder: str
    key_interval: int
    fec: int


@dataclass(frozen=True)
class Point:
    """A figure of a line: the mean of its seeds, and the lowest and the highest; each seed is the mean of the clips."""

    rate: float
    mean: float
    low: float
    high: float


def curve(runs: Sequence[Run], series: Series, burst: float | None, figure: str) -> list[Point]:
    """The points of a series, from the lowest rate up. The line that loses nothing belongs to every kind of loss."""
    values: dict[float, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if of(run) == series and (run["burst"] == burst or run["rate"] == 0) and figure in run:
            values[run["rate"]][run["seed"]].append(run[figure])
    points = []
    for rate in sorted(values):
        seeds = [mean(clips) for clips in values[rate].values()]
        points.append(Point(rate, mean(seeds), min(seeds), max(seeds)))
    return points


def of(run: Run) -> Series:
    return Series(run["coder"], run["key-interval"], run["fec"])


def all_series(runs: Sequence[Run]) -> list[Series]:
    """In the order in which they were run."""
    return list(dict.fromkeys(of(run) for run in runs))


def kbits(runs: Sequence[Run], series: Series, frames: int, frame_rate: int) -> float:
    """The bit rate of a series' RTP packets, with their headers and repair data: mean of the clips."""
    sizes = {run["clip"]: run["bytes"] for run in runs if of(run) == series and "bytes" in run}
    return mean(list(sizes.values())) * 8 * frame_rate / frames / 1000


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def table(runs: Sequence[Run], frames: int, frame_rate: int, burst: float | None, figure: str, digits: int) -> str:
    """A series a row, a rate a column: the mean, and half of the distance from the lowest to the highest seed."""
    rates = sorted({run["rate"] for run in runs})
    names = ["", "key-interval", "FEC", "kbit/s", *(f"{rate:.0%}" for rate in rates)]
    rows = [names, ["---", *["---:"] * (len(names) - 1)]]
    for series in all_series(runs):
        cells = [
            NAMES.get(series.coder, series.coder),
            str(series.key_interval),
            f"{series.fec}%" if series.fec else "–",
            f"{kbits(runs, series, frames, frame_rate):.0f}",
        ]
        for point in curve(runs, series, burst, figure):
            spread = f" ±{(point.high - point.low) / 2:.{digits}f}" if point.rate else ""
            cells.append(f"{point.mean:.{digits}f}{spread}")
        rows.append(cells)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
