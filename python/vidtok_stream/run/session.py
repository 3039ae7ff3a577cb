"""A graph in ONNX Runtime: checked, then run step by step. Several streams share a session, each with its own state."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .model import Graph, check_metadata

Array = NDArray[Any]
Provider = str | tuple[str, Mapping[str, Any]]

INSTALL = "pip install 'vidtok-stream[run]'"
CPU = "CPUExecutionProvider"
# Providers for which a tokenizer's graphs for GPUs are the better ones.
GPUS = {
    f"{name}ExecutionProvider"
    for name in ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu", "CoreML")
}
_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
    **{f"tensor({name})": np.dtype(name).type for name in ("int8", "int16", "int32", "int64")},
    **{f"tensor({name})": np.dtype(name).type for name in ("uint8", "uint16", "uint32", "uint64")},
}


@cache
def onnxruntime() -> ModuleType:
    """ONNX Runtime, which sends no telemetry unless the user has set `ORT_DISABLE_TELEMETRY` otherwise."""
    # Its official Linux packages look at the variable as they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime as module  # type: ignore[import-untyped]  # noqa: TID251
    except ImportError as error:
        raise ImportError(f"running a tokenizer needs ONNX Runtime: {INSTALL} ({error})") from error
    return cast(ModuleType, module)


def is_gpu(providers: Sequence[Provider]) -> bool:
    """Whether the provider that comes first is one for GPUs."""
    return bool(providers) and _name(providers[0]) in GPUS


def _name(provider: Provider) -> str:
    return provider if isinstance(provider, str) else provider[0]


@dataclass(frozen=True)
class _Port:
    name: str
    type: str
    shape: tuple[int | None, ...]
    """`None`: a size that is not known before the graph runs."""

    def fits(self, shape: Sequence[int]) -> bool:
        pairs = zip(self.shape, shape, strict=False)
        return len(self.shape) == len(shape) and all(found in (None, wanted) for found, wanted in pairs)


State = dict[str, Array]


class Session:
    """A graph for pictures of `height` × `width` pixels in whole cells."""

    def __init__(self, graph: Graph, height: int, width: int, providers: Sequence[Provider], threads: int) -> None:
        self.graph = graph
        self._session = _load(graph, height, width, providers, threads)
        self.takes_floats = check_metadata(graph, self._session.get_modelmeta().custom_metadata_map) == "float32"
        description = graph.description
        self._inputs, self._outputs = (
            {port.name: _Port(port.name, port.type, tuple(_size(size) for size in port.shape)) for port in ports}
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        side = description.space_factor
        frames = (1, description.step_frames, height, width, 3)
        tokens: tuple[int, ...] = (1, description.step_latents, height // side, width // side)
        token_type = "tensor(int32)"
        if description.channels is not None:
            tokens, token_type = (*tokens, description.channels), "tensor(float)"
        if graph.role == "encoder":
            self._data, self._result, self._shape = "frames", "tokens", tokens
            self._find(self._inputs, "input", "frames", frames, "float" if self.takes_floats else "uint8")
            self._find(self._outputs, "output", "tokens", tokens, token_type)
        else:
            self._data, self._result, self._shape = "tokens", "frames", frames
            self._find(self._inputs, "input", "tokens", tokens, token_type)
            self._find(self._outputs, "output", "frames", frames, "uint8")
        self._check_flags()
        self._states = {name: self._next_of(port) for name, port in self._inputs.items() if name.startswith("state.")}
        for name in self._inputs:
            if name not in (self._data, "first", "edge") and name not in self._states:
                raise self._wrong(f'has an unknown input "{name}": is vidtok-stream too old for it?')
        self._wanted = [self._result, *self._states.values()]

    def start(self) -> State:
        """The state in front of a segment's first step, which ignores it."""
        try:
            return {
                name: np.zeros([size or 0 for size in self._inputs[name].shape], _TYPES[self._inputs[name].type])
                for name in self._states
            }
        except (MemoryError, ValueError) as error:
            raise self._wrong(f"has states that do not fit into memory: {error}") from error

    def step(self, data: Array, state: State, *, first: bool, edge: bool = False) -> tuple[Array, State]:
        """Runs a step on `data` `[T, H, W, 3]` or `[L, h, w, …]`; returns its result, and the state behind it."""
        feeds: dict[str, Array] = {self._data: data[None], **state}
        if "first" in self._inputs:
            feeds["first"] = np.array([first])
        if (port := self._inputs.get("edge")) is not None:
            # Graphs of earlier exporters take how far they look ahead, and 0 where they must not.
            feeds["edge"] = (
                np.array([edge]) if port.type == "tensor(bool)" else np.array([0 if edge else 0.25], np.float32)
            )
        try:
            result, *states = self._session.run(self._wanted, feeds)
        except Exception as error:  # ONNX Runtime has no common class of errors
            raise self._wrong(f"failed: {_short(error)}") from error
        if result.shape != self._shape:
            raise self._wrong(f"gave {self._result} of shape {list(result.shape)}, not {list(self._shape)}")
        return result[0], dict(zip(self._states, states, strict=True))

    def _find(self, ports: Mapping[str, _Port], kind: str, name: str, shape: Sequence[int], type: str) -> None:
        type = type if type.startswith("tensor") else f"tensor({type})"
        port = ports.get(name)
        if port is None or port.type != type or not port.fits(shape):
            found = f"has {port.type} {list(port.shape)}" if port else "has none"
            raise self._wrong(f'should have an {kind} "{name}" of {type} {list(shape)}, but {found}')

    def _check_flags(self) -> None:
        if "first" in self._inputs or any(name.startswith("state.") for name in self._inputs):
            self._find(self._inputs, "input", "first", [1], "bool")
        if self.graph.role == "encoder" and "edge" in self._inputs:
            raise self._wrong('has an unknown input "edge"')
        if self.graph.role == "decoder" and ("edge" in self._inputs or self.graph.description.decoder_delay):
            number = "edge" in self._inputs and self._inputs["edge"].type == "tensor(float)"
            self._find(self._inputs, "input", "edge", [1], "float" if number else "bool")

    def _next_of(self, state: _Port) -> str:
        """The output that gives a state for the next step."""
        following = self._outputs.get(f"{state.name}.next")
        sizes = [size for size in state.shape if size is not None]
        if len(sizes) != len(state.shape) or sizes[:1] != [1] or state.type not in _TYPES:
            raise self._wrong(
                f'has a state "{state.name}" of {state.type} {list(state.shape)}, whose size is not fixed'
            )
        if following is None or following.type != state.type or not following.fits(sizes):
            raise self._wrong(f'has a state "{state.name}" without an output "{state.name}.next" of its type and shape')
        return following.name

    def _wrong(self, what: str) -> ModelError:
        return ModelError(f'the {self.graph.role} of "{self.graph.description.name}" {what} ({self.graph.path})')


def _load(graph: Graph, height: int, width: int, providers: Sequence[Provider], threads: int) -> Any:
    ort = onnxruntime()
    for provider in providers:
        if _name(provider) not in (there := ort.get_available_providers()):
            raise ModelError(f"this ONNX Runtime has no {_name(provider)}: it has {', '.join(there)}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_free_dimension_override_by_name("N", 1)
    for axis, size in (("H", height), ("W", width)):
        options.add_free_dimension_override_by_name(axis, size)
        for part in range(2, 65):
            if size % part == 0:
                options.add_free_dimension_override_by_name(f"{axis}/{part}", size // part)
    wanted = [provider if isinstance(provider, str) else (provider[0], dict(provider[1])) for provider in providers]
    try:
        session = ort.InferenceSession(str(graph.path), options, providers=wanted)
    except Exception as error:  # ONNX Runtime has no common class of errors
        raise ModelError(f"ONNX Runtime cannot load {graph.path}: {_short(error)}") from error
    if wanted and (first := _name(providers[0])) not in session.get_providers():
        raise ModelError(f"ONNX Runtime could not start {first}: its libraries or its device are missing")
    return session


def _size(size: object) -> int | None:
    return size if isinstance(size, int) and size >= 0 else None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
