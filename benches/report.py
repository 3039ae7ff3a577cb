"""From times to the figures of the report, and from those to tables."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

Figures = Mapping[str, object]


def summary(turns: Sequence[Sequence[float]], frames: int) -> dict[str, object]:
    """Figures of steps of `frames` frames: milliseconds of each step, turn by turn.

    The mean is the median turn's; percentiles are over the steps of all turns.
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


def targets(goals: Sequence[Mapping[str, object]], cases: Sequence[Figures]) -> list[dict[str, object]]:
    """Each goal with what was measured; those of which nothing was measured are left out."""
    found = []
    for goal in goals:
        for case in cases:
            if any(case[key] != goal[key] for key in ("tokenizer", "role", "size")):
                continue
            if (measured := look_up(case, str(goal["figure"]))) is not None:
                found.append({**goal, "measured": measured, "met": measured >= goal["goal"]})
    return found


def look_up(case: Figures, path: str) -> float | None:
    """The figure at a path such as `reference.eager.ratio`."""
    value: object = case
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, float) else None


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown; columns of numbers are flush right."""
    texts = [[text(value) for value in row] for row in rows]
    lines = [list(headings), ["---:" if numeric(column) else "---" for column in columns(headings, rows)], *texts]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def columns(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> list[list[object]]:
    return [[row[i] for row in rows] for i in range(len(headings))]


def numeric(column: Sequence[object]) -> bool:
    return any(isinstance(value, int | float) for value in column)


def text(value: object) -> str:
    """Three digits, or all of a larger number's; – for what was not measured."""
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
    cases, streams = report["cases"], report["streams"]
    parts = [
        machine(report),
        "Milliseconds a step, over the steps of all turns but each turn's first; frames a second; the process's peak "
        "memory; from NULL to the first output.\n\n" + steps(cases),
        "The element's speed, beside a matrix product's (float32, 2048³); its time by the bare graph's.\n\n"
        + shares(cases),
    ]
    if any(case.get("reference") for case in cases):
        parts.append(
            "The reference in PyTorch, on a whole clip; times faster is what the element is.\n\n" + references(cases)
        )
    if streams:
        parts.append("Streams of the built-in tokenizer in one process, all together.\n\n" + stream_table(streams))
    if report["targets"]:
        parts.append("Goals.\n\n" + goals(report["targets"]))
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


def steps(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "run by", "p50", "p95", "worst", "fps", "MiB", "start, ms")
    keys = ("p50-ms", "p95-ms", "worst-ms", "fps", "peak-mib", "start-ms")
    rows = [[*name(c), via, *(c["runs"][via][key] for key in keys)] for c in cases for via in c["runs"]]
    return table(headings, rows)


def shares(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "GFLOP a step", "GFLOP/s", "product's", "share", "times the bare")
    keys = ("gflop", "gflops", "sgemm-gflops")
    rows = [[*name(c), *map(c.get, keys), percent(c.get("share")), c.get("beside-bare")] for c in cases]
    return table(headings, rows)


def references(cases: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "mode", "ms a step", "times faster", "warming up, s", "differing")
    rows = []
    for case in cases:
        found = case.get("reference") or {}
        for mode, figures in found.get("modes", {}).items():
            figure = [figures.get(key) for key in ("mean-ms", "ratio", "warm-s")]
            rows.append([*name(case), mode, *figure, figures.get("error") or found.get("differing")])
    return table(headings, rows)


def stream_table(streams: Sequence[Figures]) -> str:
    headings = ("graph", "threads", "streams", "fps", "times one", "CPU ms a step", "MiB")
    rows = []
    for part in streams:
        for row in part["rows"]:
            first = next(other for other in part["rows"] if other["threads"] == row["threads"])
            times = row["frames-a-second"] / first["frames-a-second"]
            figures = (row["frames-a-second"], times, row["cpu-ms-a-step"], row["peak-mib"])
            rows.append([part["role"], row["threads"], row["streams"], *figures])
    return table(headings, rows)


def goals(found: Sequence[Figures]) -> str:
    headings = ("tokenizer", "pixels", "graph", "what", "goal", "measured", "met")
    rows = [
        [*name(goal), goal["what"], goal["goal"], goal["measured"], "yes" if goal["met"] else "no"] for goal in found
    ]
    return table(headings, rows)
