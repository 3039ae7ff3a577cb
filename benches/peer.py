"""Talks to the process of `reference.py`, which runs a turn when asked."""

import json
import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np


class Peer:
    """The process of the reference. Its errors go into the report and do not end the benchmark."""

    def __init__(
        self, command: Sequence[object], modes: Sequence[str], environment: Mapping[str, str], log: Path, output: Path
    ):
        """`output`: the file to which the command writes its results."""
        self.log, self.output = log, output
        self.times: dict[str, list[float]] = {mode: [] for mode in modes}
        self.products: list[float] = []
        self.warm: dict[str, float] = {}
        self.errors: dict[str, str] = {}
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> "Peer":
        started = self.read()
        if "error" in started:
            raise SystemExit(f"benchmark.py: the reference does not start; see {self.log}")
        self.torch = started["torch"]
        for mode in self.times:
            answer = self.ask(f"warm {mode}")
            if "error" in answer:
                self.errors[mode] = answer["error"]
            else:
                self.warm[mode] = answer["seconds"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def ask(self, question: str) -> dict:
        try:
            print(question, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": f"the process has ended; see {self.log}"}
        return self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"the process has ended; see {self.log}"}

    def turn(self) -> None:
        """Run every working mode once."""
        for mode, times in self.times.items():
            if mode in self.errors:
                continue
            answer = self.ask(f"turn {mode}")
            if "error" in answer:
                self.errors[mode] = answer["error"]
            else:
                times.append(answer["ms"])
        product = self.ask("sgemm")
        if "gflops" in product:
            self.products.append(product["gflops"])

    def result(self, mode: str) -> np.ndarray | None:
        """The result of a mode; `None` if it fails."""
        if mode in self.errors or "error" in self.ask(f"result {mode}"):
            return None
        return np.load(self.output)

    def figures(self) -> dict[str, object]:
        return {
            "torch": self.torch,
            "sgemm-gflops": statistics.median(self.products) if self.products else None,
            "modes": {mode: self.mode(mode) for mode in self.times},
        }

    def mode(self, mode: str) -> dict[str, object]:
        if mode in self.errors:
            return {"error": self.errors[mode]}
        times = self.times[mode]
        return {"mean-ms": statistics.median(times), "turn-mean-ms": times, "warm-s": self.warm[mode]}


def without_tuning(threads: int) -> dict[str, str]:
    """The environment with that many threads, and without the user's OpenBLAS settings, such as those of a CPU type."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENBLAS_")}
    counts = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
    return kept | dict.fromkeys(counts, str(threads))
