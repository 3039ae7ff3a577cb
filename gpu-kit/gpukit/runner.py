"""Runs cases one after the other within a budget of time, keeps each result, and goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import results
from .kit import Kit
from .nvml import Peak, first_gpu

# Seconds that are kept back, to end a program and to write.
RESERVE = 5.0
GRACE = 10.0
# Of a log's end, where a reason is looked for.
TAIL_BYTES = 20_000
REASON_CHARACTERS = 400


class Lacking(Exception):
    """Something that a case needs is not on this machine; in a line for the user."""


class Failed(Exception):
    """A case did not work; in a line for the user."""


class OutOfTime(Exception):
    """The budget has ended before the case has: it is for the next call."""


@dataclass(frozen=True)
class Case:
    """One thing to find out. `run` gives what is kept, next to the case's name and the like."""

    name: str
    run: Callable[[Context], Mapping[str, Any]]
    # What it is thought to take; it is not begun with less time left.
    seconds: float
    # It hangs if it takes longer.
    limit: float = 240.0
    # What else is in the record: for the tables.
    record: Mapping[str, Any] = field(default_factory=dict)
    # Whether one call's result is all there is to find out.
    once: bool = True


@dataclass
class Context:
    """What a case has: the kit, the time that is left, and a log of its own."""

    kit: Kit
    case: Case
    deadline: float
    gpu_mib: float | None = None

    @property
    def log(self) -> Path:
        return self.kit.logs / f"{self.case.name.replace('/', '-')}.log"

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def call(
        self, command: Sequence[object], environment: Mapping[str, str] | None = None, stop_at: float | None = None
    ) -> str:
        """What a program prints. Its complaints go to the log.

        `stop_at`: seconds before the end of the budget at which it is asked to end, which is then as it should be.
        """
        text, status = self.finish(command, environment, stop_at)
        if status:
            raise Failed(f"{reason(self.log)} (exit {status})")
        return text

    def json(self, command: Sequence[object], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The last line that a program prints, as JSON; with its exit status, where it failed after that."""
        text, status = self.finish(command, environment)
        try:
            result = json.loads(text.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = f"{reason(self.log)} (exit {status})" if status else f"{Path(str(command[0])).name} printed no JSON"
            raise Failed(said) from None
        # A driver's library may fail when the process ends; what was found out before counts.
        return {**result, "exit": status} if status else result

    def finish(
        self, command: Sequence[object], environment: Mapping[str, str] | None, stop_at: float | None = None
    ) -> tuple[str, int]:
        """What a program prints, and its exit status."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(word) for word in command]
        budget = self.left - RESERVE - (stop_at or 0)
        limit = budget if stop_at is not None else min(budget, self.case.limit)
        with self.log.open("a") as log, Peak(first_gpu()) as peak:
            print(f"$ {' '.join(words)}", file=log, flush=True)
            try:
                process = subprocess.Popen(
                    words,
                    env=environment or self.kit.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            except OSError as error:
                raise Failed(f"{words[0]}: {error.strerror}") from None
            ended = False
            try:
                output = process.communicate(timeout=max(limit, 1))[0]
            except subprocess.TimeoutExpired:
                ended = True
                output = end(process, GRACE if stop_at is None else stop_at)
            finally:
                # Nothing of it stays on the GPU beside what is measured next, also where this program is asked to end.
                kill_group(process)
        self.gpu_mib = max(filter(None, [peak.mib, self.gpu_mib]), default=None)
        text = output.decode(errors="replace")
        with self.log.open("a") as log:
            log.write(text)
        if ended and stop_at is None:
            if limit < self.case.limit:
                raise OutOfTime
            raise Failed(f"took longer than {self.case.limit:.0f} s")
        as_asked = ended and process.returncode == -signal.SIGTERM
        return text, 0 if as_asked else process.returncode


def end(process: subprocess.Popen, grace: float) -> bytes:
    """Ask a program and its children to end, then end them. What it printed, unless it cannot even be ended."""
    process.terminate()
    try:
        return process.communicate(timeout=grace)[0]
    except subprocess.TimeoutExpired:
        kill_group(process)
    try:
        return process.communicate(timeout=GRACE)[0]
    except subprocess.TimeoutExpired as error:
        # It hangs in the driver, or a child in a session of its own keeps the pipe open.
        return error.output or b""


def kill_group(process: subprocess.Popen) -> None:
    """End a program and its children at once, if there are any left."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def reason(log: Path) -> str:
    """The line of a log that says best why a program failed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return best_reason(lines)[:REASON_CHARACTERS]


def best_reason(lines: Sequence[str]) -> str:
    """The last line that tells of an error, else the last."""
    errors = [line for line in lines if line.startswith("Error: ") or "Error" in line.split(":")[0] or "ERROR" in line]
    return (errors or list(lines) or ["it said nothing"])[-1]


def run(
    kit: Kit, cases: Sequence[Case], budget: float, again: bool = False, say: Callable[[str], None] = print
) -> bool:
    """Runs the cases that have no result yet, as far as the budget goes. Gives whether none failed.

    `again`: also those that failed.
    """
    deadline = time.monotonic() + budget
    known = results.merge(results.read(kit.results))
    good, waiting = True, []
    for case in cases:
        record = known.get(case.name)
        # What was lacking may be there by now, and costs nothing to look for.
        is_known = record and (record["status"] == results.OK or (record["status"] == results.FAILED and not again))
        if is_known and case.once:
            continue
        if deadline - time.monotonic() < case.seconds + RESERVE:
            waiting.append(case.name)
            continue
        record = run_case(kit, case, deadline)
        if record is None:
            waiting.append(case.name)
            continue
        results.append(kit.results, record)
        good &= record["status"] != results.FAILED
        told = record.get("text") or record.get("reason") or ""
        say(f"{record['status']:8}{case.name:44}{record['seconds']:7.1f} s  {told}")
    if waiting:
        say(f"left for the next call, as the time is up: {', '.join(waiting)}")
    return good


def run_case(kit: Kit, case: Case, deadline: float) -> dict[str, Any] | None:
    """A case's record; `None`: the time is up."""
    context = Context(kit, case, deadline)
    started = time.monotonic()
    record: dict[str, Any] = {"case": case.name, "provider": kit.provider, **case.record}
    try:
        record |= {"status": results.OK, **case.run(context)}
    except OutOfTime:
        return None
    except Lacking as error:
        record |= {"status": results.LACKING, "reason": str(error)}
    except Failed as error:
        record |= {"status": results.FAILED, "reason": str(error), "log": str(context.log)}
    except Exception as error:  # a mistake in the kit costs one case and not all
        record |= {"status": results.FAILED, "reason": f"the kit itself: {type(error).__name__}: {error}"}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return record | {"seconds": round(time.monotonic() - started, 2), "gpu-mib": context.gpu_mib, "when": when}
