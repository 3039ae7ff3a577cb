"""The parts, in the order of worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import checks, pytorch, results, runner, speed, tensorrt, training
from .kit import Kit


@dataclass(frozen=True)
class Part:
    cases: Callable[[str], list[runner.Case]]
    # What is missing for all of it, in a line.
    needs: Callable[[Kit], str | None]


PARTS = {
    "check": Part(checks.cases, lambda kit: None),
    "speed": Part(speed.cases, checks.needs),
    "pytorch": Part(pytorch.cases, pytorch.needs),
    "tensorrt": Part(tensorrt.cases, lambda kit: kit.lacking("tensorrt")),
    "training": Part(training.cases, training.needs),
}


def run(kit: Kit, names: Sequence[str], budget: float, again: bool, say: Callable[[str], None] = print) -> bool:
    """Runs parts within one budget. Gives whether nothing failed; what is missing on this machine is no failure."""
    deadline, good = time.monotonic() + budget, True
    for name in names:
        status, lacking = results.LACKING, None
        try:
            lacking = PARTS[name].needs(kit)
        except Exception as error:  # one part, and not all
            status, lacking, good = results.FAILED, f"the kit itself: {type(error).__name__}: {error}", False
        if lacking:
            say(f"{status:8}{name}: {lacking}")
            record = {"status": status, "reason": lacking, "seconds": 0}
            results.append(kit.results, {"case": name, "provider": kit.provider, **record})
            continue
        cases = PARTS[name].cases(kit.provider)
        good &= runner.run(kit, cases, deadline - time.monotonic(), again, say)
    return good
