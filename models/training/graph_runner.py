"""Runs a tokenizer's graphs in ONNX Runtime, step by step, as the plugin runs them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx

CPU = ("CPUExecutionProvider",)


class GraphRunner:
    """One graph, run step by step on one stream; keeps the states between steps."""

    def __init__(self, model: onnx.ModelProto | Path, threads: int = 2, providers: Sequence[object] = CPU) -> None:
        # Imported here: a training without a teacher runs no graph, and does without ONNX Runtime.
        from vidtok_export.onnx_runtime import frames_for, onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # A session whose threads spin while they wait would take the processor from the other session.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        source = str(model) if isinstance(model, Path) else model.SerializeToString()
        self.session = onnxruntime.InferenceSession(source, options, providers=list(providers))
        self.inputs = {value.name: value for value in self.session.get_inputs()}
        self.states = [value for name, value in self.inputs.items() if name.startswith("state.")]
        self.outputs = [value.name for value in self.session.get_outputs()]
        self.feeds: dict[str, np.ndarray] = {}
        self.frames_for = partial(frames_for, self.session)

    def start(self, height: int, width: int) -> None:
        """Begin a segment. The graph must ignore what the states hold now: not-a-number shows where it does not."""
        sides = {"H": height, "W": width}
        sizes = sides | {f"{side}/{k}": size // k for side, size in sides.items() for k in (2, 4, 8, 16)}
        self.feeds = {
            state.name: np.full([sizes.get(d, d) for d in state.shape], np.nan, np.float32) for state in self.states
        }
        self.first = True

    def step(self, name: str, value: np.ndarray, edge: bool = False) -> dict[str, np.ndarray]:
        given = self.frames_for(value) if name == "frames" else value
        feeds = {**self.feeds, name: given, "first": np.array([self.first])}
        if "edge" in self.inputs:
            feeds["edge"] = np.array([edge])
        results = dict(zip(self.outputs, self.session.run(None, feeds), strict=True))
        self.feeds = {state.name: results.pop(f"{state.name}.next") for state in self.states}
        self.first = False
        return results


def encode(encoder: GraphRunner, video: np.ndarray) -> np.ndarray:
    """The tokens `[1 + k, h, w]` of a video of 1 + k·f frames, uint8 `[T, H, W, 3]`.

    The first latent frame stands for the first frame, which is given f times; each later one for the next f frames.
    """
    factor = encoder.inputs["frames"].shape[1]
    encoder.start(*video.shape[1:3])
    frames = np.concatenate([video[:1].repeat(factor - 1, 0), video]).reshape(-1, 1, factor, *video.shape[1:])
    return np.concatenate([encoder.step("frames", group)["tokens"][0] for group in frames])


def decode(decoder: GraphRunner, tokens: np.ndarray, delay: int, space_factor: int) -> np.ndarray:
    """The 1 + k·f frames, uint8 `[T, H, W, 3]`, of tokens `[1 + k, h, w]`. `delay`: the `decoder-delay`, in frames."""
    decoder.start(*(side * space_factor for side in tokens.shape[1:]))
    # `edge`, as docs/graphs.md has it: true for the second step, and for a flush behind the last.
    steps = [(latent, index == 1) for index, latent in enumerate(tokens)]
    if delay and len(tokens) > 1:
        steps.append((tokens[-1], True))
    shown = [decoder.step("tokens", latent[None, None], edge)["frames"][0] for latent, edge in steps]
    factor = len(shown[0])
    frames = np.concatenate(shown)
    return np.concatenate([frames[factor - 1 : factor], frames[factor + delay :]])[: 1 + (len(tokens) - 1) * factor]
