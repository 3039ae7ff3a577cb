"""The form for the target `gpu`, CUDA and TensorRT: few, large kernels, and N streams per run.

All frames of all streams are one tensor `[N·T, H, W, C]`. In this layout, channels last, tensor cores convolve, and
LayerNorm, attention and FSQ find a position's channels side by side. Each convolution stands between two
transpositions, which cancel where the runtime convolves in that layout (CUDA with `prefer_nhwc=1`).

A convolution over time alone is a convolution of height 3 over a picture of T rows and H·W columns, which needs no
copy. A 3×3×3 convolution is a 3×3 convolution of the three taps' frames, side by side on the channels. Each is one
kernel; in float16 it sums in float32 to its end, while a sum of convolutions would round in between.

A state is `[N, frames, H, W, C]`: all frames that a layer remembers, so one input and one output per layer. `first` and
`edge` have one value per stream. Everything computed from shapes is constant once N, H and W are fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from .architecture import Family
from .form import LOOK_AHEAD, NORM_EPSILON, Form, Frames, Pointwise, Taps


class Batched(Form):
    channel_axis = 3
    attention_parts = 4

    def __init__(self, role: str, family: Family, precision: str = "fp32", streams: int | str = "N") -> None:
        super().__init__(role, family, precision, streams)
        self._sizes: dict[int, tuple[ir.Value, int]] = {}
        self._shapes: dict[tuple[object, ...], ir.Value] = {}

    def first_input(self) -> None:
        super().first_input()
        if self._first:
            self._first = self._per_stream(self._first)

    def edge_input(self) -> ir.Value:
        return self._per_stream(super().edge_input())

    def unpack(self, x: ir.Value, count: int, scale: int) -> list[ir.Value]:
        self._sizes.setdefault(scale, (x, 2))
        return [self._reshape(x, scale, [-1], *x.shape[4:])]

    def pack(
        self, values: Sequence[ir.Value], like: Frames, *channels: int, dtype: ir.DataType | None = None
    ) -> ir.Value:
        (value,) = values
        value = self._reshape(value, like.scale, [-1, like.count], *channels)
        # TensorRT only gives bytes, and cannot calculate with them: so the cast is the last operator.
        return self.g.cast(value, dtype) if dtype else value

    # Frame by frame

    def norm(self, x: Frames, name: str, weight: np.ndarray, bias: np.ndarray, activate: bool) -> Frames:
        """The operator's statistics are always float32, so its input needs no cast: half the memory traffic."""
        g = self.g
        scale, shift = g.kernel(weight, f"{name}.weight"), g.kernel(bias, f"{name}.bias")
        value = g.op("LayerNormalization", *x.values, scale, shift, axis=-1, epsilon=NORM_EPSILON, stash_type=1)
        return replace(x, values=[g.silu(value) if activate else value])

    def conv(
        self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int], stride: int = 1
    ) -> Frames:
        y = self._conv(self.g.channels_first(*x.values), name, kernel, bias, pads, stride)
        return self._frames(self.g.channels_last(y), x.count, len(bias), x.scale * stride)

    def conv_of_twice(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int]) -> Frames:
        # CUDA resizes pictures with the channels first.
        twice = self.g.nearest_twice(self.g.channels_first(*x.values))
        y = self._conv(twice, name, kernel, bias, pads)
        return self._frames(self.g.channels_last(y), x.count, len(bias), x.scale // 2)

    def attention(self, x: Frames, name: str, weights: Mapping[str, Pointwise]) -> Frames:
        """Takes the queries in `attention_parts` parts per frame, as a part holds scores of all the step's frames."""
        g = self.g
        flat = g.op("Reshape", *x.values, g.constant([0, -1, x.channels], np.int64))
        kernels, biases = zip(*(weights[part] for part in ("q", "k", "v")), strict=True)
        qkv = self._linear(flat, f"{name}.qkv", np.concatenate(kernels), np.concatenate(biases))
        query, key, value = g.split(qkv, 3, axis=2)
        key = g.op("Transpose", key, perm=[0, 2, 1])
        mixed = g.attention(query, key, value, self.attention_parts * x.count, axis=1)
        mixed = self._linear(mixed, f"{name}.proj_out", *weights["proj_out"])
        return replace(x, values=[self._reshape(mixed, x.scale, [-1], x.channels)])

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
        kernel = _joined(phases)
        if kernel.shape[2:] == (1, 1):
            return self._over_time_alone(x, name, phases[0], bias, padding)
        g, count = self.g, x.count // stride
        around = self._padded(x, name, *padding)
        last = stride * (count - 1) + 1
        taps = [self._frames_of(around, tap, tap + last, stride) for tap in range(len(phases[0]))]
        taps = self._reshape(g.op("Concat", *taps, axis=-1), x.scale, [-1], kernel.shape[1])
        y = self._conv(g.channels_first(taps), name, kernel, np.tile(bias, len(phases)), [1] * 4)
        if len(phases) > 1:
            # The phases follow each other on the channels; with the channels first this is the order in time.
            y = g.op("Reshape", y, g.constant([-1, len(bias), 0, 0], np.int64))
        return self._frames(g.channels_last(y), count * len(phases), len(bias), x.scale)

    def _over_time_alone(self, x: Frames, name: str, taps: Taps, bias: np.ndarray, padding: tuple[int, int]) -> Frames:
        g, (before, behind) = self.g, padding
        if self.family.causal:
            frames, pads = self._padded(x, name, before, behind), [0] * 4
        else:
            frames, pads = self._by_stream(x), [before, 0, behind, 0]
        rows = g.op("Reshape", frames, g.constant([0, 0, -1, x.channels], np.int64))
        y = self._conv(g.channels_first(rows), name, np.concatenate(taps, axis=2), bias, pads)
        y = self._reshape(g.channels_last(y), x.scale, [-1], len(bias))
        return self._frames(y, x.count, len(bias), x.scale)

    def linear_twice(self, x: Frames, name: str, edge: ir.Value) -> Frames:
        g, count = self.g, x.count
        before = g.full(self._frames_of(self._padded(x, name, 1, 0), 0, count))
        now = g.full(self._by_stream(x))
        last = np.reshape(np.arange(count) == count - 1, (1, count, 1, 1, 1))
        a = g.op("Where", edge, g.constant(np.where(last, 0, LOOK_AHEAD)), g.constant(LOOK_AHEAD))
        part = g.op("Mul", g.op("Sub", now, before), a)
        # Joined along the rows, each pair of frames is in the order of time once the rows are split again.
        both = g.op("Concat", g.op("Add", before, part), g.op("Sub", now, part), axis=2)
        return self._frames(g.working(self._reshape(both, x.scale, [-1], x.channels)), 2 * count, x.channels, x.scale)

    def _padded(self, x: Frames, name: str, before: int, behind: int) -> ir.Value:
        """The frames with those before and behind: `[N, before + frames + behind, H, W, C]`."""
        g, frames = self.g, self._by_stream(x)
        if not self.family.causal:
            return g.op("Pad", frames, g.constant([0, before, 0, 0, 0, 0, behind, 0, 0, 0], np.int64))
        fresh = self._frames_of(frames, 0, 1) if self.family.repeats_first else g.constant([0], g.dtype.numpy())
        shape = self.shape(before, x.scale, x.channels)
        past = g.op("Where", self._first, fresh, g.input(f"state.{name}", g.dtype, shape))
        around = g.op("Concat", past, frames, axis=1)
        self._next_states.append((f"state.{name}", self._frames_of(around, x.count, x.count + before), shape))
        return around

    # Tensors

    def _per_stream(self, x: ir.Value) -> ir.Value:
        """Turns `[N]` into `[N, 1, 1, 1, 1]`, to combine with `[N, frames, H, W, C]`."""
        return self.g.op("Reshape", x, self.g.constant([-1, 1, 1, 1, 1], np.int64))

    def _by_stream(self, x: Frames) -> ir.Value:
        """The frames as `[N, frames, H, W, C]`."""
        return self._reshape(*x.values, x.scale, [-1, x.count], x.channels)

    def _frames_of(self, x: ir.Value, start: int, end: int, step: int = 1) -> ir.Value:
        """Frames `start` to `end` of `[N, frames, H, W, C]`."""
        start, end, axis, step = (self.g.constant([number], np.int64) for number in (start, end, 1, step))
        return self.g.op("Slice", x, start, end, axis, step)

    def _frames(self, value: ir.Value, count: int, channels: int, scale: int) -> Frames:
        self._sizes.setdefault(scale, (value, 1))
        return Frames([value], count, channels, scale)

    def _reshape(self, x: ir.Value, scale: int, lead: Sequence[int], *channels: int) -> ir.Value:
        """Reshapes to `[*lead, H, W, *channels]`."""
        g, key = self.g, (scale, *lead, *channels)
        if key not in self._shapes:
            of, axis = self._sizes[scale]
            size = g.op("Shape", of, start=axis, end=axis + 2)
            ends = [g.constant(channels, np.int64)] if channels else []
            self._shapes[key] = g.op("Concat", g.constant(lead, np.int64), size, *ends, axis=0)
        return g.op("Reshape", x, self._shapes[key])

    def _conv(
        self, x: ir.Value, name: str, kernel: np.ndarray, bias: np.ndarray, pads: Sequence[int], stride: int = 1
    ) -> ir.Value:
        g = self.g
        return g.conv(x, g.kernel(kernel, f"{name}.weight"), g.kernel(bias, f"{name}.bias"), pads, stride)

    def _linear(self, x: ir.Value, name: str, kernel: np.ndarray, bias: np.ndarray) -> ir.Value:
        g = self.g
        product = g.op("MatMul", x, g.kernel(kernel.T, f"{name}.weight"))
        return g.op("Add", product, g.kernel(bias, f"{name}.bias"))


def _joined(phases: Sequence[Taps]) -> np.ndarray:
    """Joins the kernels into one, `[phases · out, taps · in, height, width]`."""
    zeros = next(np.zeros_like(kernel) for kernel in phases[0] if kernel is not None)
    rows = [[zeros if kernel is None else kernel for kernel in taps] for taps in phases]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
