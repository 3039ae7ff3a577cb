"""Draws the curves of a `loss.json` and writes their figures as tables, beside it: plot.py LOSS.JSON"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

import summary
from summary import NAMES, Run, Series

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

# Text as text makes a small file; the same figures make the same file.
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "loss", "font.size": 8, "font.family": "sans-serif"})
COLOURS = {
    "tokens": ("#08519c", "#3182bd", "#6baed6"),
    "tokens-raptorq": ("#006d2c", "#31a354", "#74c476"),
    "h264": ("#a63603", "#e6550d", "#fd8d3c"),
}
STYLES = ("-", "--", ":")
USUAL_KEY_INTERVAL = 30
Name = Callable[[Series], str]
FIGURES = {"psnr": ("PSNR, dB", 2), "ssim": ("SSIM", 3)}


def draw(runs: Sequence[Run], burst: float, path: Path) -> None:
    every = [series for series in summary.all_series(runs) if series.coder in NAMES]
    plain = [series for series in every if not series.fec]
    repaired = {series.key_interval for series in every if series.fec}
    # One key interval is enough to see what repair data does; the tables have all.
    drawn = USUAL_KEY_INTERVAL if USUAL_KEY_INTERVAL in repaired else min(repaired, default=0)
    with_fec = [series for series in every if series.key_interval == drawn]
    bursts = f"bursts of {burst:g}"
    interval = f"key-interval {drawn}"
    columns: list[tuple[str, float | None, list[Series], Name]] = [
        ("random, no FEC", None, plain, by_key_interval),
        (f"{bursts}, no FEC", burst, plain, by_key_interval),
        (f"random, {interval}", None, with_fec, by_fec),
        (f"{bursts}, {interval}", burst, with_fec, by_fec),
    ]
    figure, axes = plt.subplots(len(FIGURES), len(columns), figsize=(13, 6), sharex=True, sharey="row")
    for row, (name, (label, _)) in zip(axes, FIGURES.items(), strict=True):
        row[0].set_ylabel(label)
        for axis, (_, kind, chosen, text) in zip(row, columns, strict=True):
            panel(axis, runs, chosen, kind, name, text)
    for axis, (title, *_) in zip(axes[0], columns, strict=True):
        axis.set_title(title, fontsize=9)
    for axis in axes[-1]:
        axis.set_xlabel("packets lost, %")
    for axis in axes[0][::2]:
        axis.legend(fontsize=7, loc="lower left")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def by_key_interval(series: Series) -> str:
    return f"key-interval {series.key_interval}"


def by_fec(series: Series) -> str:
    return f"FEC {series.fec}%" if series.fec else "no FEC"


def panel(
    axis: plt.Axes, runs: Sequence[Run], chosen: Sequence[Series], burst: float | None, figure: str, text: Name
) -> None:
    used = dict.fromkeys(COLOURS, 0)
    for series in chosen:
        points = summary.curve(runs, series, burst, figure)
        number = used[series.coder] % len(STYLES)
        used[series.coder] += 1
        colour, style = COLOURS[series.coder][number], STYLES[number]
        rates = [100 * point.rate for point in points]
        label = f"{NAMES[series.coder]}, {text(series)}"
        axis.plot(rates, [point.mean for point in points], style, color=colour, marker=".", label=label)
        low, high = [point.low for point in points], [point.high for point in points]
        axis.fill_between(rates, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.grid(alpha=0.3)


def main() -> None:
    source = Path(sys.argv[1])
    results = json.loads(source.read_text(encoding="utf-8"))
    runs, options = results["runs"], results["options"]
    draw(runs, options["burst"], source.with_suffix(".svg"))
    tables = []
    for name, (label, digits) in FIGURES.items():
        for kind, burst in (("random", None), (f"bursts of {options['burst']:g}", options["burst"])):
            rows = summary.table(runs, options["frames"], results["frame-rate"], burst, name, digits)
            tables.append(f"{label}, {kind}:\n\n{rows}\n")
    source.with_suffix(".md").write_text("\n".join(tables), encoding="utf-8")


if __name__ == "__main__":
    main()
