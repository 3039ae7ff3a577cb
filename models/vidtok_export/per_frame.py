"""The form for the target `cpu`, where it is the fastest.

Each frame is a tensor `[1, C, H, W]`, and a convolution over time is a sum of two-dimensional convolutions, one per
tap: ONNX Runtime fuses such sums in its blocked layout, and no operator gets five dimensions. Sums of 3×3 ones become
operators of the plugin's (`convolutions`). A state is one frame:
`state.LAYER.N` is the layer's input N frames back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir

from . import convolutions
from .architecture import Family
from .form import FLOAT, LOOK_AHEAD, NORM_EPSILON, Form, Frames, Pointwise, Taps
from .graph import dimension
from .operators import CARRIED, NORM, NORM_SILU


class PerFrame(Form):
    channel_axis = 1
    attention_parts = 16

    def __init__(self, role: str, family: Family, precision: str = "fp32") -> None:
        super().__init__(role, family, precision, streams=1)

    def finish(self) -> onnx.ModelProto:
        model = super().finish()
        convolutions.rewrite(model)
        return model

    def unpack(self, x: ir.Value, count: int, scale: int) -> list[ir.Value]:
        frames = self.g.unstack(x, count)
        return [self.g.channels_first(frame) for frame in frames] if len(x.shape) == 5 else frames

    def pack(
        self, values: Sequence[ir.Value], like: Frames, *channels: int, dtype: ir.DataType | None = None
    ) -> ir.Value:
        if dtype:
            values = [self.g.cast(value, dtype) for value in values]
        return self.g.stack([self.g.channels_last(value) for value in values] if channels else values)

    # Frame by frame

    def norm(self, x: Frames, name: str, weight: np.ndarray, bias: np.ndarray, activate: bool) -> Frames:
        g = self.g
        scale, shift = g.weight(weight[:, None], f"{name}.weight"), g.weight(bias[:, None], f"{name}.bias")
        row, epsilon = g.constant(np.full((1, x.channels), 1 / x.channels)), g.constant(NORM_EPSILON)
        shape = [1, x.channels, dimension("H", x.scale), dimension("W", x.scale)]
        values = [g.annotate(g.full(value), FLOAT, shape) for value in x.values]
        operator = NORM_SILU if activate else NORM
        values = [g.custom_op(operator, value, scale, shift, row, epsilon) for value in values]
        return replace(x, values=[g.working(value) for value in values])

    def conv(
        self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int], stride: int = 1
    ) -> Frames:
        g = self.g
        weight, shift = g.kernel(kernel, f"{name}.weight"), g.kernel(bias, f"{name}.bias")
        values = [g.conv(value, weight, shift, pads, stride) for value in x.values]
        return Frames(values, x.count, kernel.shape[0], x.scale * stride)

    def conv_of_twice(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int]) -> Frames:
        values = [self.g.nearest_twice(value) for value in x.values]
        return self.conv(replace(x, values=values, scale=x.scale // 2), name, kernel, bias, pads)

    def attention(self, x: Frames, name: str, weights: Mapping[str, Pointwise]) -> Frames:
        """Takes the queries in parts, which is as fast: all scores at once would take 830 MB at 1280×720, and 13 GB
        where the space factor is 4. A runtime's fused attention is not plain ONNX.
        """
        g = self.g
        pointwise = lambda x, part: self.conv(  # noqa: E731
            x, f"{name}.{part}", weights[part][0][..., None, None], weights[part][1], pads=[0] * 4
        )
        q, k, v = (pointwise(x, part).values for part in ("q", "k", "v"))
        flat, shape = g.constant([x.channels, -1], np.int64), g.op("Shape", x.values[0])
        values = []
        for query, key, value in zip(q, k, v, strict=True):
            query = g.op("Transpose", g.op("Reshape", query, flat), perm=[1, 0])
            key = g.op("Reshape", key, flat)
            value = g.op("Transpose", g.op("Reshape", value, flat), perm=[1, 0])
            mixed = g.attention(query, key, value, self.attention_parts, axis=0)
            values.append(g.op("Reshape", g.op("Transpose", mixed, perm=[1, 0]), shape))
        return pointwise(replace(x, values=values), "proj_out")

    # Over time

    def over_time(
        self,
        x: Frames,
        name: str,
        phases: Sequence[Taps],
        bias: np.ndarray,
        padding: tuple[int, int],
        stride: int = 1,
    ) -> Frames:
        """Sums one convolution per tap; frames of zeros need none."""
        g, around = self.g, self._padded(x, name, *padding)
        shift = g.kernel(bias, f"{name}.bias")
        layers = [
            [
                kernel if kernel is None else g.kernel(kernel, f"{name}.weight.{phase}.{tap}")
                for tap, kernel in enumerate(taps)
            ]
            for phase, taps in enumerate(phases)
        ]
        values = []
        for start in range(0, x.count, stride):
            for taps in layers:
                total = None
                for frame, kernel in zip(around[start:], taps, strict=False):
                    if frame is None or kernel is None:
                        continue
                    pads = [kernel.shape[-1] // 2] * 4
                    part = g.conv(frame, kernel, shift if total is None else None, pads)
                    total = part if total is None else g.op("Add", total, part)
                values.append(total)
        return Frames(values, len(values), len(bias), x.scale)

    def linear_twice(self, x: Frames, name: str, edge: ir.Value) -> Frames:
        g, values = self.g, []
        pairs = list(pairwise(g.full(frame) for frame in self._padded(x, name, 1, 0)))
        look_ahead = g.constant([LOOK_AHEAD])
        at_end = g.op("Mul", g.cast(g.op("Not", edge), FLOAT), look_ahead)
        for i, (before, value) in enumerate(pairs):
            a = at_end if i == len(pairs) - 1 else look_ahead
            part = g.op("Mul", g.op("Sub", value, before), a)
            values += [g.working(g.op("Add", before, part)), g.working(g.op("Sub", value, part))]
        return replace(x, values=values, count=len(values))

    def _padded(self, x: Frames, name: str, before: int, behind: int) -> list[ir.Value | None]:
        """The frames with `before` frames before and `behind` frames behind them; None stands for a frame of zeros."""
        if not self.family.causal:
            return [None] * before + x.values + [None] * behind
        fresh = x.values[0] if self.family.repeats_first else self.g.constant([0], self.g.dtype.numpy())
        shape = [1, x.channels, dimension("H", x.scale), dimension("W", x.scale)]
        ages = [f"state.{name}.{age}" for age in range(before, 0, -1)]
        kept = [self.g.input(age, self.g.dtype, shape) for age in ages]
        choose = partial(self.g.custom_op, CARRIED) if self.g.dtype == FLOAT else partial(self.g.op, "Where")
        frames = [choose(self._first, fresh, state) for state in kept] + x.values
        self._next_states += [(age, frame, shape) for age, frame in zip(ages, frames[-before:], strict=True)]
        return frames
