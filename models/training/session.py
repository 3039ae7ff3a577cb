"""A tokenizer's graph in ONNX Runtime, stepped as a stream."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime


class Session:
    """One graph and its stream: the states are carried from step to step."""

    def __init__(self, model: onnx.ModelProto | Path, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Two sessions in one process would otherwise burn each other's cores while they wait.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.states = [value for value in self.session.get_inputs() if value.name.startswith("state.")]
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.feeds: dict[str, np.ndarray] = {}

    def start(self, height: int, width: int) -> None:
        """Begin a segment. What the states hold now is ignored by the graph: not-a-number shows if it were not."""
        sizes = {f"{side}/{k}": size // k for side, size in (("H", height), ("W", width)) for k in (1, 2, 4, 8, 16)}
        self.feeds = {
            state.name: np.full([sizes.get(d, d) for d in state.shape], np.nan, np.float32) for state in self.states
        }
        self.first = True

    def step(self, name: str, value: np.ndarray) -> dict[str, np.ndarray]:
        feeds = {**self.feeds, name: value, "first": np.array([self.first])}
        results = dict(zip(self.outputs, self.session.run(None, feeds), strict=True))
        self.feeds = {state.name: results.pop(f"{state.name}.next") for state in self.states}
        self.first = False
        return results
