"""A form decides how a graph represents frames, layers and states. There is one per target; variants of both
precisions have it.

`per_frame` is the form for the target `cpu`, `batched` that for `gpu`. `network` describes the networks in terms of
`Form`.
"""

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

# The kernel `[out, in, height, width]` of each tap on consecutive frames; None stands for zeros.
Taps = Sequence[np.ndarray | None]
# A kernel `[out, in]` and its bias.
Pointwise = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Frames:
    """A layer's `count` frames in order, of `channels` and 1/`scale` of the picture's size."""

    values: list[ir.Value]  # one tensor per frame, or one tensor of all, as the form has it
    count: int
    channels: int
    scale: int


class Form(ABC):
    """Collects one graph. A layer's `name` is part of the names of its weights and states.

    With precision `fp16`, convolutions, attention's products, states and values between layers are float16.
    Normalization (or its statistics), softmax, FSQ, linear up-sampling, pixels, and the other inputs and outputs
    are float32.
    """

    channel_axis: ClassVar[int]  # in the tensors of `Frames.values`
    # Attention takes its queries in this many parts: fewer of a stream's positions² scores are in memory at once.
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
        """`[N, count, H, W, …]`: the shape of an input or output."""
        return [self.streams, count, dimension("H", scale), dimension("W", scale), *channels]

    def first_input(self) -> None:
        """Causal graphs get `first`, per stream: the step is its segment's first, so the graph ignores the states."""
        if self.family.causal:
            self._first = self.g.input("first", BOOL, [self.streams])

    def edge_input(self) -> ir.Value:
        """Decoders that look ahead get `edge`, per stream: the previous latent frame has no right neighbour."""
        return self.g.input("edge", BOOL, [self.streams])

    def finish(self) -> onnx.ModelProto:
        for name, value, shape in self._next_states:
            self.g.output(value, f"{name}.next", self.g.dtype, shape)
        return self.g.model()

    @abstractmethod
    def unpack(self, x: ir.Value, count: int, scale: int) -> list[ir.Value]:
        """Turns an input of `shape(count, scale, …)` into values for `Frames`."""

    @abstractmethod
    def pack(
        self, values: Sequence[ir.Value], like: Frames, *channels: int, dtype: ir.DataType | None = None
    ) -> ir.Value:
        """Turns values into an output of `shape(like.count, like.scale, *channels)`, cast to `dtype`."""

    # Frame by frame

    def added(self, x: Frames, y: Frames) -> Frames:
        return replace(x, values=[self.g.op("Add", a, b) for a, b in zip(x.values, y.values, strict=True)])

    @abstractmethod
    def norm(self, x: Frames, name: str, weight: np.ndarray, bias: np.ndarray, activate: bool) -> Frames:
        """LayerNorm over the channels; with `activate`, SiLU of it."""

    @abstractmethod
    def conv(
        self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int], stride: int = 1
    ) -> Frames:
        """A two-dimensional convolution of each frame; pads are top, left, bottom, right."""

    @abstractmethod
    def conv_of_twice(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int]) -> Frames:
        """A two-dimensional convolution of each frame, resized to twice its height and width."""

    @abstractmethod
    def attention(self, x: Frames, name: str, weights: Mapping[str, Pointwise]) -> Frames:
        """Attention over the positions of each frame, with one head. `weights` are `q`, which includes the scores'
        factor, `k`, `v` and `proj_out`.
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
        """A convolution over time, with `padding` frames before and behind. It gives one frame per phase for every
        `stride`-th frame.
        """

    @abstractmethod
    def linear_twice(self, x: Frames, name: str, edge: ir.Value) -> Frames:
        """Twice the frames by linear interpolation, one sub-frame late, so that a step needs no frame of the next one.

        Between the frame before, p, and each frame x it gives p + a(x-p) and x - a(x-p). a is `LOOK_AHEAD`; for the
        step's last frame it is 0 where `edge` is true, as the reference clamps there.
        """
