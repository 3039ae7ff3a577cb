"""What a network asks of the form its graph takes; the forms are `per_frame` and `batched`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx
import onnx_ir as ir

from .architecture import Family
from .graph import Graph, dimension

FLOAT, UINT8, INT32, BOOL = ir.DataType.FLOAT, ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.BOOL
TYPES = {"fp32": FLOAT, "fp16": ir.DataType.FLOAT16}
NORM_EPSILON = 1e-6
LOOK_AHEAD = 0.25  # linear up-sampling ×2 samples a quarter of the way to the next frame

# The kernel `[out, in, height, width]` of each tap on consecutive frames; None is one of zeros.
Taps = Sequence[np.ndarray | None]
# A kernel `[out, in]` and its bias.
Pointwise = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Frames:
    """A layer's `count` frames in order, of `channels` and 1/`scale` of the picture's size."""

    values: list[ir.Value]  # as the form holds them: a tensor a frame, or one of all
    count: int
    channels: int
    scale: int


class Form(ABC):
    """Collects one graph. A layer's `name` names its weights and states.

    With precision `fp16`, convolutions, attention's products, states and what goes between layers are float16;
    normalization (or its statistics), softmax, FSQ, linear up-sampling, pixels, and the other inputs and outputs
    are float32.
    """

    channel_axis: ClassVar[int]  # of the tensors in `Frames.values`
    # Attention takes its queries in parts: of a stream's positions² scores, this fraction is alive at a time.
    attention_parts: ClassVar[int]

    def __init__(self, role: str, family: Family, precision: str, streams: int | str) -> None:
        self.g = Graph(role, TYPES[precision])
        self.role = role
        self.family = family
        self.streams = streams  # N
        self._first: ir.Value | None = None
        self._next_states: list[tuple[str, ir.Value, list[int | str]]] = []

    # Inputs and outputs

    def shape(self, count: int, scale: int, *channels: int) -> list[int | str]:
        """`[N, count, H, W, …]`, as inputs and outputs have it."""
        return [self.streams, count, dimension("H", scale), dimension("W", scale), *channels]

    def first_input(self) -> None:
        """A causal graph is told whether a stream's step is its segment's first: then it ignores the states."""
        if self.family.causal:
            self._first = self.g.input("first", BOOL, [self.streams])

    def edge_input(self) -> ir.Value:
        """A decoder that looks ahead is told, per stream, whether the previous latent frame has no right neighbour."""
        return self.g.input("edge", BOOL, [self.streams])

    def finish(self) -> onnx.ModelProto:
        for name, value, shape in self._next_states:
            self.g.output(value, f"{name}.next", self.g.dtype, shape)
        return self.g.model()

    @abstractmethod
    def unpack(self, x: ir.Value, count: int, scale: int, dtype: ir.DataType | None = None) -> list[ir.Value]:
        """The values for `Frames` of an input of `shape(count, scale, …)`, cast to `dtype`."""

    @abstractmethod
    def pack(
        self, values: Sequence[ir.Value], like: Frames, *channels: int, dtype: ir.DataType | None = None
    ) -> ir.Value:
        """The reverse: an output of `shape(like.count, like.scale, *channels)`, cast to `dtype`."""

    # Each frame on its own

    def added(self, x: Frames, y: Frames) -> Frames:
        return replace(x, values=[self.g.op("Add", a, b) for a, b in zip(x.values, y.values, strict=True)])

    @abstractmethod
    def norm(self, x: Frames, name: str, weight: np.ndarray, bias: np.ndarray, activate: bool) -> Frames:
        """LayerNorm over the channels, and SiLU."""

    @abstractmethod
    def conv(
        self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int], stride: int = 1
    ) -> Frames:
        """A two-dimensional convolution; pads are top, left, bottom, right."""

    @abstractmethod
    def conv_of_twice(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int]) -> Frames:
        """The same, of the frames at twice their size."""

    @abstractmethod
    def attention(self, x: Frames, name: str, weights: Mapping[str, Pointwise]) -> Frames:
        """Over the positions of each frame on its own, one head; `weights` are `q`, which has the scores' factor,
        `k`, `v` and `proj_out`.
        """

    # Over time

    @abstractmethod
    def over_time(
        self,
        x: Frames,
        name: str,
        phases: Sequence[Taps],
        bias: np.ndarray,
        padding: tuple[int, int],
        stride: int = 1,
    ) -> Frames:
        """A convolution over time of the frames with those around them, `padding` before and behind: for every
        `stride`-th frame, a frame of each phase.
        """

    @abstractmethod
    def linear_twice(self, x: Frames, name: str, edge: ir.Value) -> Frames:
        """Twice the frames, one sub-frame late, so that a step needs no frame of the next: between the frame
        before, p, and x it emits p + a(x-p) and x - a(x-p), where a is `LOOK_AHEAD`; for the step's last frame a is 0
        where `edge` is true. There the reference clamps: at the end of a segment's first group and of the segment.
        """
