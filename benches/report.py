"""Turns measured times into figures, and figures into tables."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

Figures = Mapping[str, object]


def summary(turns: Sequence[Sequence[float]], frames: int) -> dict[str, object]:
    """Figures of steps with `frames` frames each, from the milliseconds of each step in each turn.

    The mean is the median of the turns' means; percentiles are over the steps of all turns.
    """
    means = [statistics.fmean(turn) for turn in turns]
    mean = statistics.median(means)
    p50, p95 = np.percentile(np.concatenate([np.asarray(turn, np.float64) for turn in turns]), (50, 95))
    return {
        "mean-ms": mean,
        "fps": 1e3 * frames / mean,
        "p50-ms": float(p50),
        "p95-ms": float(p95),
        "worst-ms": max(max(turn) for turn in turns),
        "steps": sum(len(turn) for turn in turns),
        "turn-mean-ms": means,
    }


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; columns of numbers are right-aligned."""
    texts = [[text(value) for value in row] for row in rows]
    lines = [list(headings), ["---:" if numeric(column) else "---" for column in columns(headings, rows)], *texts]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def columns(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [[row[i] for row in rows] for i in range(len(headings))]


def numeric(column: Sequence[object]) -> bool:
    return any(isinstance(value, int | float) for value in column)


def text(value: object) -> str:
    """Three digits, or all digits of a larger number; – if there is no figure."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def percent(value: float | None) -> str | None:
    return None if value is None else f"{100 * value:.1f}%"


def markdown(report: Mapping[str, object]) -> str:
    """The whole report."""
    cases, parallel = report["cases"], report["parallel"]
    parts = [
        machine(report),
        "The elements.\n\n" + overview(cases),
        "Milliseconds per step, over all turns without their first steps; frames per second; the process's peak "
        "memory; time from NULL to the first output.\n\n" + steps(cases),
        "The element's speed as a share of a matrix product's (float32, 2048³); its time divided by that of the bare "
        "graph, which runs without the plugin's kernels.\n\n" + shares(cases),
    ]
    if any(case.get("reference") for case in cases):
        parts.append(
            "The reference in PyTorch, on a whole clip; how many times faster the element is.\n\n" + references(cases)
        )
    if parallel:
        parts.append(
            "Networks of the embedded tokenizer in parallel in one process: figures of all together.\n\n"
            + parallel_table(parallel)
        )
    return "\n".join(parts)


def machine(report: Mapping[str, object]) -> str:
    m, versions, options = report["machine"], report["versions"], report["options"]
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{m['cpu']}, {m['cores']} cores, {m['memory-mib'] / 1024:.0f} GiB; {m['os']}; {software}. "
        f"Provider {options['provider']}, {m['threads']} threads; {options['repeats']} turns. "
        f"Load before: {m['load']}.\n"
    )


def name(case: Figures) -> list[object]:
    return [case["tokenizer"], f"{case['size']}×{case['size']}", case["role"]]


def overview(cases: Sequence[Figures]) -> str:
    """The elements' figures from all the tables below."""
    headings = ("tokenizer", "pixels", "graph", "p50, ms", "p95", "worst", "fps", "MiB", "start, ms")
    headings += ("share of sgemm", "times PyTorch, eager")
    keys = ("p50-ms", "p95-ms", "worst-ms", "fps", "peak-mib", "start-ms")
    rows = []
    for case in cases:
        modes = (case["reference"] or {}).get("modes", {})
        figures = (case["runs"]["element"][key] for key in keys)
        rows.append([*name(case), *figures, percent(case.get("share")), modes.get("eager", {}).get("ratio")])
    return table(headings, rows)


def steps(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "run by", "p50", "p95", "worst", "fps", "MiB", "start, ms")
    keys = ("p50-ms", "p95-ms", "worst-ms", "fps", "peak-mib", "start-ms")
    rows = [[*name(c), via, *(c["runs"][via][key] for key in keys)] for c in cases for via in c["runs"]]
    return table(headings, rows)


def shares(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "GFLOP per step", "GFLOP/s", "product's", "share", "time / bare")
    keys = ("gflop", "gflops", "sgemm-gflops")
    rows = [[*name(c), *map(c.get, keys), percent(c.get("share")), c.get("ratio-to-bare")] for c in cases]
    return table(headings, rows)


def references(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "mode", "ms per step", "times faster", "warm-up, s", "differing")
    rows = []
    for case in cases:
        found = case.get("reference") or {}
        for mode, figures in found.get("modes", {}).items():
            figure = [figures.get(key) for key in ("mean-ms", "ratio", "warm-s")]
            rows.append([*name(case), mode, *figure, figures.get("error") or figures.get("differing")])
    return table(headings, rows)


def parallel_table(parallel: Sequence[Figures]) -> str:
    headings = ("graph", "threads", "networks", "fps", "ratio to first", "CPU ms per step", "MiB")
    rows = []
    for part in parallel:
        for row in part["rows"]:
            first = next(other for other in part["rows"] if other["threads"] == row["threads"])
            times = row["frames-per-second"] / first["frames-per-second"]
            figures = (row["frames-per-second"], times, row["cpu-ms-per-step"], row["running-mib"])
            rows.append([part["role"], row["threads"], row["networks"], *figures])
    return table(headings, rows)
