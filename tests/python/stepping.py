"""Runs a tokenizer's graphs with ONNX Runtime step by step, the way the elements do."""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort

EDGE = 0.25
DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Graph:
    """One graph, its picture size fixed, and the state of one stream."""

    def __init__(self, path: Path, height: int, width: int, threads: int = 2) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        for scale in (2**i for i in range(8)):
            for axis, size in (("H", height), ("W", width)):
                options.add_free_dimension_override_by_name(axis if scale == 1 else f"{axis}/{scale}", size // scale)
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.inputs = {i.name: i for i in self.session.get_inputs()}
        # Not zeros: what a state holds before a segment's first step must not matter.
        self.states = {
            name: np.full(i.shape, np.nan, DTYPES[i.type])
            for name, i in self.inputs.items()
            if name.startswith("state.")
        }

    def step(self, **feeds: object) -> dict[str, np.ndarray]:
        inputs = {name: np.asarray(value) for name, value in feeds.items() if name in self.inputs}
        results = self.session.run(self.outputs, inputs | self.states)
        outputs = dict(zip(self.outputs, results, strict=True))
        self.states = {name: outputs.pop(f"{name}.next") for name in self.states}
        return outputs


class Tokenizer:
    """Encodes and decodes whole clips in steps; every result is a dict of arrays with time in front."""

    def __init__(self, folder: Path, height: int, width: int, precision: str = "fp32") -> None:
        self.facts = json.loads((folder / "tokenizer.json").read_text())
        self.height, self.width = height, width
        variant = next(v for v in self.facts["variants"] if v["precision"] == precision)
        self.encoder = Graph(folder / variant["encoder"], height, width)
        self.decoder = Graph(folder / variant["decoder"], height, width)

    def encode(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """A segment: one frame, then groups of `time-factor`; or windows."""
        factor, window = self.facts["time-factor"], self.facts["window"]
        if not window:
            frames = np.concatenate([np.repeat(frames[:1], factor - 1, axis=0), frames])
        size = window or factor
        steps = [
            self.encoder.step(frames=frames[None, i : i + size], first=[i == 0]) for i in range(0, len(frames), size)
        ]
        return _joined(steps)

    def decode(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """A segment's shown frames, the last of them by a flush step where the decoder lags."""
        factor, window, delay = (self.facts[key] for key in ("time-factor", "window", "decoder-delay"))
        size = window // factor or 1
        steps = []
        for i in range(0, len(tokens), size):
            edge = 0 if i == 1 else EDGE
            steps.append(self.decoder.step(tokens=tokens[None, i : i + size], first=[i == 0], edge=_edge(edge)))
        if delay and len(tokens) > 1:
            steps.append(self.decoder.step(tokens=tokens[None, -1:], first=[False], edge=_edge(0)))
        joined = _joined(steps)
        if window:
            return joined
        count = 1 + (len(tokens) - 1) * factor
        shown = lambda a: np.concatenate([a[factor - 1 : factor], a[factor + delay :]])[:count]  # noqa: E731
        return {name: shown(a) for name, a in joined.items()}


def _edge(value: float) -> np.ndarray:
    return np.array([value], np.float32)


def _joined(steps: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([step[name][0] for step in steps]) for name in steps[0]}
