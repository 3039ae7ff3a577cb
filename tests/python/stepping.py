"""Runs a tokenizer's graphs with ONNX Runtime step by step, as the elements do (docs/graphs.md)."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from vidtok_export.onnx_runtime import frames_for
from vidtok_export.onnx_runtime import onnxruntime as ort

DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

Arrays = dict[str, np.ndarray]
Feeds = Mapping[str, object]
Segments = Sequence[np.ndarray]


def session(path: Path, height: int, width: int, options: ort.SessionOptions, streams: int) -> ort.InferenceSession:
    """A session on the CPU for pictures of that size, which is in whole cells, and so many streams per run."""
    options.log_severity_level = 3
    options.add_free_dimension_override_by_name("N", streams)
    for scale in (2**i for i in range(8)):
        for axis, size in (("H", height), ("W", width)):
            options.add_free_dimension_override_by_name(axis if scale == 1 else f"{axis}/{scale}", size // scale)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Graph:
    """One graph and the states of its streams."""

    def __init__(self, path: Path, height: int, width: int, threads: int = 2, streams: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = session(path, height, width, options, streams)
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.inputs = {i.name: i for i in self.session.get_inputs()}
        # A graph must ignore what a state holds before a segment's first step: not-a-number shows where it does not.
        self.states = {
            name: np.full(i.shape, np.nan, DTYPES[i.type])
            for name, i in self.inputs.items()
            if name.startswith("state.")
        }

    def step(self, **feeds: object) -> Arrays:
        inputs = {name: np.asarray(value) for name, value in feeds.items() if name in self.inputs}
        if "frames" in inputs:
            inputs["frames"] = frames_for(self.session, inputs["frames"])
        results = self.session.run(self.outputs, inputs | self.states)
        outputs = dict(zip(self.outputs, results, strict=True))
        self.states = {name: outputs.pop(f"{name}.next") for name in self.states}
        return outputs

    def run(self, streams: Sequence[Sequence[Feeds]], starts: Sequence[int]) -> list[list[Arrays]]:
        """Runs the steps of each stream; stream i makes its first step in run `starts[i]`. Before and after its steps a
        stream gets zeros. Returns each stream's outputs, step by step.
        """
        ends = [start + len(steps) for start, steps in zip(starts, streams, strict=True)]
        idle = {name: np.zeros_like(value) for name, value in streams[0][0].items()}
        outputs: list[list[Arrays]] = [[] for _ in streams]
        for now in range(max(ends)):
            at = [now - start if start <= now < end else None for start, end in zip(starts, ends, strict=True)]
            feeds = [idle if i is None else steps[i] for i, steps in zip(at, streams, strict=True)]
            results = self.step(**{name: np.stack([feed[name] for feed in feeds]) for name in idle})
            for stream, i in enumerate(at):
                if i is not None:
                    outputs[stream].append({name: value[stream] for name, value in results.items()})
        return outputs


class Tokenizer:
    """Encodes and decodes whole clips step by step. Results are dicts of arrays with time as the first axis."""

    def __init__(
        self,
        folder: Path,
        height: int,
        width: int,
        precision: str = "fp32",
        target: str = "cpu",
        streams: int = 1,
    ) -> None:
        self.facts = json.loads((folder / "tokenizer.json").read_text())
        variant = next(v for v in self.facts["variants"] if (v["precision"], v["target"]) == (precision, target))
        self.encoder = Graph(folder / variant["encoder"], height, width, streams=streams)
        self.decoder = Graph(folder / variant["decoder"], height, width, streams=streams)

    def encode(self, frames: np.ndarray) -> Arrays:
        return self.encode_all([[frames]])[0][0]

    def decode(self, tokens: np.ndarray) -> Arrays:
        return self.decode_all([[tokens]])[0][0]

    def encode_all(self, streams: Sequence[Segments], starts: Sequence[int] = (0,)) -> list[list[Arrays]]:
        """The encoder's outputs for every segment of every stream."""
        return _segments(self.encoder, self.encoder_steps, streams, starts)

    def decode_all(self, streams: Sequence[Segments], starts: Sequence[int] = (0,)) -> list[list[Arrays]]:
        """The shown frames of every segment of every stream."""
        decoded = _segments(self.decoder, self.decoder_steps, streams, starts)
        return [list(map(self.shown, results, clips)) for results, clips in zip(decoded, streams, strict=True)]

    def encoder_steps(self, frames: np.ndarray) -> list[Feeds]:
        """Causal: the first frame `time-factor` times, then groups of `time-factor` frames. Else windows."""
        factor, window = self.facts["time-factor"], self.facts["window"]
        if not window:
            frames = np.concatenate([np.repeat(frames[:1], factor - 1, axis=0), frames])
        size = window or factor
        return [{"frames": frames[i : i + size], "first": i == 0} for i in range(0, len(frames), size)]

    def decoder_steps(self, tokens: np.ndarray) -> list[Feeds]:
        """A step per latent frame or window, and a flush where the decoder is late."""
        factor, window, delay = (self.facts[key] for key in ("time-factor", "window", "decoder-delay"))
        size = window // factor or 1
        steps = []
        for i in range(0, len(tokens), size):
            steps.append({"tokens": tokens[i : i + size], "first": i == 0, "edge": i == 1})
        if delay and len(tokens) > 1:
            steps.append({"tokens": tokens[-1:], "first": False, "edge": True})
        return steps

    def shown(self, decoded: Arrays, tokens: np.ndarray) -> Arrays:
        factor, window, delay = (self.facts[key] for key in ("time-factor", "window", "decoder-delay"))
        if window:
            return decoded
        count = 1 + (len(tokens) - 1) * factor
        shown = lambda a: np.concatenate([a[factor - 1 : factor], a[factor + delay :]])[:count]  # noqa: E731
        return {name: shown(a) for name, a in decoded.items()}


def _segments(
    graph: Graph, steps_of: Callable[[np.ndarray], list[Feeds]], streams: Sequence[Segments], starts: Sequence[int]
) -> list[list[Arrays]]:
    steps = [[steps_of(clip) for clip in clips] for clips in streams]
    outputs = graph.run([list(chain(*segments)) for segments in steps], starts)
    return [
        [_joined(list(islice(results, len(segment)))) for segment in segments]
        for results, segments in zip(map(iter, outputs), steps, strict=True)
    ]


def _joined(steps: list[Arrays]) -> Arrays:
    return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}
