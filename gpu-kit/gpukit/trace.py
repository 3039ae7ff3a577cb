"""ONNX Runtime's profile: which operators take how long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

NAMED = 12


def summary(events: Iterable[Mapping[str, Any]], runs: int) -> dict[str, Any]:
    """Milliseconds per run by operator, the longest first; and by kernel, where the profile has the GPU's own.

    A node's time is the CPU's: on a GPU what it takes to start kernels.
    """
    nodes: dict[str, float] = defaultdict(float)
    kernels: dict[str, float] = defaultdict(float)
    providers: dict[str, int] = defaultdict(int)
    for event in events:
        arguments = event.get("args") or {}
        duration = float(event.get("dur", 0)) / 1e3 / runs
        if event.get("cat") == "Kernel":
            kernels[str(event.get("name", "?"))[:80]] += duration
        elif event.get("cat") == "Node" and str(event.get("name", "")).endswith("_kernel_time"):
            nodes[str(arguments.get("op_name", "?"))] += duration
            providers[str(arguments.get("provider", "?"))] += 1
    return {
        "nodes-ms": longest(nodes),
        "nodes-total-ms": round(sum(nodes.values()), 3),
        "kernels-ms": longest(kernels),
        "kernels-total-ms": round(sum(kernels.values()), 3),
        "node-runs-by-provider": {name: count // runs for name, count in providers.items()},
    }


def longest(times: Mapping[str, float]) -> dict[str, float]:
    ordered = sorted(times.items(), key=lambda item: -item[1])
    return {name: round(time, 3) for name, time in ordered[:NAMED]}
