"""Charts as SVG. Their colours are the page's, by classes."""

import math
from collections.abc import Callable, Sequence
from html import escape

WIDTH, HEIGHT = 420, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 12, 38
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
# A narrow space that does not break.
THIN = "\u202f"


def number(value: float) -> str:
    """A whole number with thin separators; other numbers with three digits that count."""
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", THIN)
    if abs(value) >= 1000:
        return number(round(value))
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"


def short(value: float) -> str:
    """As `number`, in thousands, millions or billions if it is large."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{THIN}{unit}"
    return f"{value:.3g}"


def histogram(edges: Sequence[float], counts: Sequence[int], axis: str, label: str, mark: float | None = None) -> str:
    """Bars between edges. `mark`: a value that a line shows."""
    low, high, most = edges[0], edges[-1], max(1, *counts)

    def x_of(value: float) -> float:
        return LEFT + PLOT_WIDTH * (value - low) / (high - low)

    parts = _rows(most)
    for begin, end, count in zip(edges, edges[1:], counts, strict=False):
        left, right = x_of(begin), x_of(end)
        tall = PLOT_HEIGHT * count / _top(most)
        if count:
            # However few: they are there.
            tall = max(tall, 1.5)
            said = f"{short(begin)} to {short(end)}: {number(count)}"
            parts.append(
                f'<rect class="bar" x="{left + 0.75:.1f}" y="{TOP + PLOT_HEIGHT - tall:.1f}"'
                f' width="{max(0.5, right - left - 1.5):.1f}" height="{tall:.1f}" rx="1.5">'
                f"<title>{escape(said)}</title></rect>"
            )
    if mark is not None and low <= mark <= high:
        at = f"{x_of(mark):.1f}"
        parts.append(f'<line class="mark" x1="{at}" x2="{at}" y1="{TOP - 4}" y2="{TOP + PLOT_HEIGHT}"/>')
    ticks = [(x_of(value), short(value)) for value in _steps(low, high, 6)]
    return _svg([*parts, *_columns(ticks, axis)], label)


def ranks(places: Sequence[int], counts: Sequence[int], even: float, label: str) -> str:
    """How often codes are there, the most frequent first, with a logarithmic axis. `even`: if all were as frequent."""
    top = max(1, math.ceil(math.log10(max(10, *counts))))
    used = [(place, count) for place, count in zip(places, counts, strict=True) if count]
    # Where few codes are there, the chart is of these.
    size = places[-1] if not used or used[-1][0] >= places[-1] / 8 else used[-1][0]

    def y_of(count: float) -> float:
        return TOP + PLOT_HEIGHT * (1 - math.log10(max(1.0, count)) / top)

    def x_of(rank: float) -> float:
        return LEFT + PLOT_WIDTH * rank / size

    parts = [_row(y_of(10**power), short(10**power)) for power in range(top + 1)]
    if used:
        line = " ".join(f"{x_of(place):.1f},{y_of(count):.1f}" for place, count in used)
        floor = TOP + PLOT_HEIGHT
        parts.append(f'<polygon class="area" points="{x_of(1):.1f},{floor} {line} {x_of(used[-1][0]):.1f},{floor}"/>')
        parts.append(f'<polyline class="line" points="{line}"/>')
    if not used or used[-1][0] < size:
        begin = x_of(used[-1][0] if used else 0)
        parts.append(
            f'<rect class="dead" x="{begin:.1f}" y="{TOP}" width="{LEFT + PLOT_WIDTH - begin:.1f}"'
            f' height="{PLOT_HEIGHT}"><title>codes that are never there</title></rect>'
        )
    if even >= 1:
        at = f"{y_of(even):.1f}"
        parts.append(f'<line class="mark" x1="{LEFT}" x2="{LEFT + PLOT_WIDTH}" y1="{at}" y2="{at}"/>')
    ticks = [(x_of(value), short(value)) for value in _steps(0, size, 5)]
    return _svg([*parts, *_columns(ticks, "codes, the most frequent first")], label)


def shares(counts: Sequence[int], label: str) -> str:
    """A small chart: what share each of a few values has, beside an even one."""
    wide, high = 160, 84
    total, most = max(1, sum(counts)), max(1, *counts)
    floor = high - 14
    parts = []
    step = wide / len(counts)
    for value, count in enumerate(counts):
        tall = (floor - 4) * count / most
        said = f"{value}: {100 * count / total:.1f} %"
        parts.append(
            f'<rect class="bar" x="{value * step + 1:.1f}" y="{floor - tall:.1f}" width="{max(0.5, step - 2):.1f}"'
            f' height="{tall:.1f}" rx="1.5"><title>{said}</title></rect>'
        )
        if len(counts) <= 16:
            parts.append(f'<text class="tick" x="{(value + 0.5) * step:.1f}" y="{high - 2}">{value}</text>')
    at = f"{floor - (floor - 4) * total / len(counts) / most:.1f}"
    parts.append(f'<line class="mark" x1="0" x2="{wide}" y1="{at}" y2="{at}"/>')
    return _svg(parts, label, wide, high)


def _svg(parts: Sequence[str], label: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _row(y: float, text: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{LEFT + PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="value" x="{LEFT - 6}" y="{y + 3.5:.1f}">{escape(text)}</text>'
    )


def _rows(most: float) -> list[str]:
    top = _top(most)
    return [_row(TOP + PLOT_HEIGHT * (1 - value / top), short(value)) for value in _steps(0, top, 4, is_whole=True)]


def _top(most: float) -> float:
    """Where an axis of counts ends."""
    return most if most < 4 else _nice(most / 4, math.ceil) * 4


def _columns(ticks: Sequence[tuple[float, str]], axis: str) -> list[str]:
    floor = TOP + PLOT_HEIGHT
    parts = [f'<text class="tick" x="{x:.1f}" y="{floor + 15}">{escape(text)}</text>' for x, text in ticks]
    parts.append(f'<text class="axis" x="{LEFT + PLOT_WIDTH / 2:.1f}" y="{HEIGHT - 5}">{escape(axis)}</text>')
    return parts


def _steps(low: float, high: float, about: int, is_whole: bool = False) -> list[float]:
    """Round numbers from `low` to `high`."""
    step = _nice((high - low) / about, lambda value: value)
    if is_whole:
        step = max(1, math.ceil(step))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 9) for index in range(first, last + 1)]


def _nice(value: float, rounded: Callable[[float], float]) -> float:
    """The next of 1, 2, 2.5, 5 and their tens."""
    power = 10.0 ** math.floor(math.log10(value))
    factor = next(factor for factor in (1, 2, 2.5, 5, 10) if factor >= value / power - 1e-9)
    found = factor * power
    return found if found < 1 else rounded(found)
