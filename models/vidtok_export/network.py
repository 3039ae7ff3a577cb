"""VidTok's encoder and decoder as graphs, in the form that is fastest on a CPU.

Every frame is a tensor `[1, C, H, W]` of its own, and a convolution over time is the sum of one
two-dimensional convolution a tap: ONNX Runtime fuses such sums in its blocked layout, and no operator
sees five dimensions. A graph is one step: the frames of one latent frame, or a whole window. What a
layer must remember of the step before is an input `state.LAYER.N`, its own input N frames back, with
an output of the same name and `.next`.

With precision `fp16`, convolutions, attention's products, states and what goes between layers are float16;
normalization, softmax, FSQ, linear up-sampling, pixels, and the other inputs and outputs stay float32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir

from . import fsq
from .architecture import Configuration
from .graph import Graph, dimension
from .weights import Weights

FLOAT, UINT8, INT32, BOOL = ir.DataType.FLOAT, ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.BOOL
NORM_EPSILON = 1e-6
LOG_VARIANCE_RANGE = (-30.0, 20.0)
TYPES = {"fp32": FLOAT, "fp16": ir.DataType.FLOAT16}
ATTENTION_PARTS = 16
LINEAR = 0.25  # how far linear up-sampling ×2 looks towards the neighbour


@dataclass(frozen=True)
class Frames:
    """A layer's frames in order, of `channels` and 1/`scale` of the picture's size."""

    values: list[ir.Value]
    channels: int
    scale: int


def encoder(
    configuration: Configuration, weights: Weights, test_outputs: bool = False, precision: str = "fp32"
) -> onnx.ModelProto:
    """Pixels to tokens. With `test_outputs`, an FSQ encoder also gives `z`, from before quantizing."""
    net = _Network("encoder", configuration, weights, precision)
    g, c, count = net.g, configuration, configuration.step_frames
    frames = g.input("frames", UINT8, [1, count, "H", "W", 3])
    net.causal_inputs()

    pixels = [g.cast(g.channels_first(x), FLOAT) for x in g.unstack(frames, count)]
    pixels = [g.op("Sub", g.op("Div", p, g.constant(127.5)), g.constant(1)) for p in pixels]
    x = Frames([g.working(p) for p in pixels], 3, 1)
    x = net.conv_3d(x, "conv_in", c.ch)
    for level, width in enumerate(c.widths):
        for block in range(c.num_res_blocks):
            x = net.block(x, f"down.{level}.block.{block}", f"down_temporal.{level}.block.{block}", width)
        if level in c.spatial_down:
            x = net.space_down(x, f"down.{level}.downsample")
        if level in c.temporal_down:
            x = net.time_down(x, f"down_temporal.{level}.downsample")
    x = net.norm(net.middle(x), "norm_out")
    x = net.conv_3d(x, "conv_out", c.z_channels * (1 if c.levels else 2))

    latent = [g.full(z) for z in x.values]
    grid = [1, len(latent), dimension("H", x.scale), dimension("W", x.scale)]
    if c.levels:
        g.output(g.stack([fsq.quantize(g, z, c.levels) for z in latent]), "tokens", INT32, grid)
        if test_outputs:
            g.output(net.channels_last(latent), "z", FLOAT, [*grid, c.z_channels])
    else:
        means, log_variances = zip(*(g.split(z, 2, axis=1) for z in latent), strict=True)
        low, high = map(g.constant, LOG_VARIANCE_RANGE)
        g.output(net.channels_last(means), "tokens", FLOAT, [*grid, c.z_channels])
        g.output(
            net.channels_last([g.op("Clip", v, low, high) for v in log_variances]),
            "logvar",
            FLOAT,
            [*grid, c.z_channels],
        )
    return net.finish()


def decoder(
    configuration: Configuration, weights: Weights, test_outputs: bool = False, precision: str = "fp32"
) -> onnx.ModelProto:
    """Tokens to pixels. With `test_outputs`, also `recon`, the picture before it is clamped."""
    net = _Network("decoder", configuration, weights, precision)
    g, c, count = net.g, configuration, configuration.step_frames // configuration.time_factor
    grid = [1, count, dimension("H", c.space_factor), dimension("W", c.space_factor)]
    if c.levels:
        tokens = g.unstack(g.input("tokens", INT32, grid), count)
        codes = [fsq.dequantize(g, indices, c.levels) for indices in tokens]
    else:
        tokens = g.unstack(g.input("tokens", FLOAT, [*grid, c.z_channels]), count)
        codes = [g.channels_first(mean) for mean in tokens]
    net.causal_inputs()
    edge = g.input("edge", FLOAT, [1]) if c.decoder_delay else None

    codes = [g.working(code) for code in codes]
    x = net.conv_3d(Frames(codes, c.z_channels, c.space_factor), "conv_in", c.widths[-1])
    x = net.middle(x)
    for level, width in reversed(list(enumerate(c.widths))):
        for block in range(c.num_res_blocks + 1):
            x = net.block(x, f"up.{level}.block.{block}", f"up_temporal.{level}.block.{block}", width)
        if level in c.spatial_up:
            x = net.space_up(x, f"up.{level}.upsample")
        if level in c.temporal_up:
            x = net.time_up(x, f"up_temporal.{level}.upsample", edge)
    x = net.conv_3d(net.norm(x, "norm_out"), "conv_out", 3)

    recon = [g.full(y) for y in x.values]
    picture = [1, len(recon), "H", "W", 3]
    g.output(g.stack([g.channels_last(net.pixels(y)) for y in recon]), "frames", UINT8, picture)
    if test_outputs:
        g.output(net.channels_last(recon), "recon", FLOAT, picture)
    return net.finish()


class _Network:
    """The layers that encoder and decoder are made of; names are the checkpoint's, less the role."""

    def __init__(self, role: str, configuration: Configuration, weights: Weights, precision: str) -> None:
        self.g = Graph(role, TYPES[precision])
        self.role = role
        self.family = configuration.family
        self.weights = weights
        self.first: ir.Value | None = None
        self._next_states: list[tuple[str, ir.Value, list[int | str]]] = []

    def causal_inputs(self) -> None:
        """A causal graph is told whether the step is a segment's first: then it ignores the states."""
        if self.family.causal:
            self.first = self.g.input("first", BOOL, [1])

    def finish(self) -> onnx.ModelProto:
        for name, value, shape in self._next_states:
            self.g.output(value, f"state.{name}.next", self.g.dtype, shape)
        return self.g.model()

    def take(self, name: str, *shape: int) -> np.ndarray:
        return self.weights.take(f"{self.role}.{name}", *shape)

    # Blocks

    def middle(self, x: Frames) -> Frames:
        x = self.residual(x, "mid.block_1", self.conv_3d, x.channels)
        x = self.attention(x, "mid.attn_1")
        return self.residual(x, "mid.block_2", self.conv_3d, x.channels)

    def block(self, x: Frames, space: str, time: str, width: int) -> Frames:
        x = self.residual(x, space, self.conv_space, width)
        return self.residual(x, time, self.conv_time, width)

    def residual(self, x: Frames, name: str, conv: Callable[[Frames, str, int], Frames], width: int) -> Frames:
        h = conv(self.norm(x, f"{name}.norm1"), f"{name}.conv1", width)
        h = conv(self.norm(h, f"{name}.norm2"), f"{name}.conv2", width)
        if x.channels != width:
            x = self.conv_space(x, f"{name}.nin_shortcut", width, size=1)
        return self._added(x, h)

    def norm(self, x: Frames, name: str, activate: bool = True) -> Frames:
        """LayerNorm over the channels, and SiLU."""
        g, channels = self.g, x.channels
        weight, bias = (
            g.weight(self.take(f"{name}.norm.{part}", channels)[:, None], f"{name}.{part}")
            for part in ("weight", "bias")
        )
        values = []
        shape = g.op("Shape", x.values[0])
        for value in x.values:
            flat = g.op("Reshape", g.full(value), g.constant([channels, -1], np.int64))
            flat = g.layer_norm(flat, weight, bias, channels, NORM_EPSILON)
            flat = g.working(g.silu(flat) if activate else flat)
            values.append(g.op("Reshape", flat, shape))
        return replace(x, values=values)

    def attention(self, x: Frames, name: str) -> Frames:
        """Over the positions of each frame on its own, one head. The scores of all positions with all
        would take 830 MB at 1280×720, and 13 GB where the space factor is 4, so queries come in parts.
        That is as fast, and made of plain ONNX, which the runtimes' own fused operators are not.
        """
        g, channels = self.g, x.channels
        h = self.norm(x, f"{name}.norm", activate=False)
        q = self._pointwise(h, f"{name}.q", factor=channels**-0.5)
        k = self._pointwise(h, f"{name}.k")
        v = self._pointwise(h, f"{name}.v")
        flat, shape = g.constant([channels, -1], np.int64), g.op("Shape", x.values[0])
        values = []
        for query, key, value in zip(q.values, k.values, v.values, strict=True):
            query = g.op("Transpose", g.op("Reshape", query, flat), perm=[1, 0])
            key = g.op("Reshape", key, flat)
            value = g.op("Transpose", g.op("Reshape", value, flat), perm=[1, 0])
            mixed = []
            for part in g.parts(query, ATTENTION_PARTS):
                shares = g.op("Softmax", g.full(g.op("MatMul", part, key)), axis=-1)
                mixed.append(g.op("MatMul", g.working(shares), value))
            mixed = g.op("Concat", *mixed, axis=0)
            values.append(g.op("Reshape", g.op("Transpose", mixed, perm=[1, 0]), shape))
        return self._added(x, self._pointwise(replace(x, values=values), f"{name}.proj_out"))

    # Space

    def conv_space(self, x: Frames, name: str, width: int, size: int = 3) -> Frames:
        kernel = self.take(f"{name}.weight", width, x.channels, size, size)
        bias = self.take(f"{name}.bias", width)
        return self._conv_frames(x, name, kernel, bias, pads=[size // 2] * 4)

    def space_down(self, x: Frames, name: str) -> Frames:
        name += ".conv"
        kernel = self.take(f"{name}.weight", x.channels, x.channels, 3, 3)
        bias = self.take(f"{name}.bias", x.channels)
        x = self._conv_frames(x, name, kernel, bias, pads=[0, 0, 1, 1], stride=2)
        return replace(x, scale=x.scale * 2)

    def space_up(self, x: Frames, name: str) -> Frames:
        values = [self.g.nearest_twice(value) for value in x.values]
        return self.conv_space(Frames(values, x.channels, x.scale // 2), f"{name}.conv", x.channels)

    # Time

    def conv_3d(self, x: Frames, name: str, width: int) -> Frames:
        return self._conv_over_time(x, name, *self._kernel_3d(x, name, width))

    def conv_time(self, x: Frames, name: str, width: int) -> Frames:
        inner = name + self.family.inner
        kernel = self.take(f"{inner}.weight", width, x.channels, 3)
        return self._conv_over_time(x, name, kernel[..., None, None], self.take(f"{inner}.bias", width))

    def time_down(self, x: Frames, name: str) -> Frames:
        """α·average of 3 frames + (1-α)·convolution, folded into one convolution of stride 2."""
        alpha = self._mix(name)
        kernel, bias = self._kernel_3d(x, f"{name}.conv", x.channels)
        kernel = (1 - alpha) * kernel
        kernel[:, :, :, 1, 1] += alpha / 3 * np.eye(x.channels, dtype=np.float32)[:, :, None]
        around = self._padded(x, name, *self.family.down_padding)
        windows = [around[i : i + 3] for i in range(0, len(x.values), 2)]
        return self._sum_taps(x, f"{name}.conv", windows, kernel, (1 - alpha) * bias)

    def time_up(self, x: Frames, name: str, edge: ir.Value | None) -> Frames:
        """u = ×2 in time; α·u + (1-α)·convolution of u, folded into one convolution."""
        alpha = self._mix(name)
        kernel, bias = self._kernel_3d(x, f"{name}.conv", x.channels)
        kernel = (1 - alpha) * kernel
        now = self.family.conv_padding[0]  # the tap on the frame itself
        kernel[:, :, now, 1, 1] += alpha * np.eye(x.channels, dtype=np.float32)
        bias = (1 - alpha) * bias
        if self.family.linear_upsampling:
            return self._conv_over_time(self._linear_twice(x, name, edge), f"{name}.conv", kernel, bias)
        # Nearest: every frame twice. Padded before it is doubled, which keeps half the state.
        before, behind = self.family.conv_padding
        twice = [value for value in self._padded(x, name, 1, min(behind, 1)) for _ in range(2)]
        start = 2 - before
        windows = [twice[i : i + 3] for i in range(start, start + 2 * len(x.values))]
        return self._sum_taps(x, f"{name}.conv", windows, kernel, bias)

    def _linear_twice(self, x: Frames, name: str, edge: ir.Value | None) -> Frames:
        """One sub-frame late, so that a step needs no frame of the next: between the frame before, p,
        and x it emits p + a(x-p) and x - a(x-p). `edge` is a for the step's last frame: 0 where the
        reference clamps, at the end of a segment's first group and of the stream.
        """
        g, values = self.g, []
        pairs = list(pairwise(g.full(frame) for frame in self._padded(x, name, 1, 0)))
        for i, (before, value) in enumerate(pairs):
            a = edge if i == len(pairs) - 1 else g.constant([LINEAR])
            part = g.op("Mul", g.op("Sub", value, before), a)
            values += [g.working(g.op("Add", before, part)), g.working(g.op("Sub", value, part))]
        return replace(x, values=values)

    def _padded(self, x: Frames, name: str, before: int, behind: int) -> list[ir.Value | None]:
        """The frames with those around them; None is a frame of zeros."""
        if not self.family.causal:
            return [None] * before + x.values + [None] * behind
        fresh = x.values[0] if self.family.repeats_first else self.g.constant([0], self.g.dtype.numpy())
        shape = [1, x.channels, dimension("H", x.scale), dimension("W", x.scale)]
        ages = [f"{name}.{age}" for age in range(before, 0, -1)]
        kept = [(age, self.g.input(f"state.{age}", self.g.dtype, shape)) for age in ages]
        past = [self.g.op("Where", self.first, fresh, state) for _, state in kept]
        frames = past + x.values
        self._next_states += [(state, frame, shape) for (state, _), frame in zip(kept, frames[-before:], strict=True)]
        return frames

    def _conv_over_time(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray) -> Frames:
        around = self._padded(x, name, *self.family.conv_padding)
        return self._sum_taps(x, name, [around[i : i + 3] for i in range(len(x.values))], kernel, bias)

    # Convolutions

    def _sum_taps(
        self, x: Frames, name: str, windows: list[list[ir.Value | None]], kernel: np.ndarray, bias: np.ndarray
    ) -> Frames:
        """One output frame for each window of 3 frames: a convolution a tap, summed. Taps on the same
        frame are one convolution, frames of zeros none.
        """
        g, pad = self.g, kernel.shape[-1] // 2
        weights: dict[tuple[int, ...], ir.Value] = {}
        shift = g.kernel(bias, f"{name}.bias")
        values = []
        for window in windows:
            total = None
            for frame, taps in _taps_by_frame(window):
                if taps not in weights:
                    weights[taps] = g.kernel(
                        kernel[:, :, taps].sum(axis=2), f"{name}.weight.{'+'.join(map(str, taps))}"
                    )
                part = g.conv(frame, weights[taps], shift if total is None else None, pads=[pad] * 4)
                total = part if total is None else g.op("Add", total, part)
            values.append(total)
        return Frames(values, kernel.shape[0], x.scale)

    def _pointwise(self, x: Frames, name: str, factor: float = 1) -> Frames:
        """A 1×1×1 convolution of as many channels, times `factor`."""
        inner = name + self.family.inner
        kernel = self.take(f"{inner}.weight", x.channels, x.channels, 1, 1, 1)[:, :, 0]
        bias = self.take(f"{inner}.bias", x.channels)
        return self._conv_frames(x, name, kernel * np.float32(factor), bias * np.float32(factor))

    def _conv_frames(self, x: Frames, name: str, kernel: np.ndarray, bias: np.ndarray, **options: object) -> Frames:
        weight, shift = self.g.kernel(kernel, f"{name}.weight"), self.g.kernel(bias, f"{name}.bias")
        values = [self.g.conv(value, weight, shift, **options) for value in x.values]
        return Frames(values, kernel.shape[0], x.scale)

    def _kernel_3d(self, x: Frames, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        inner = name + self.family.inner
        return self.take(f"{inner}.weight", width, x.channels, 3, 3, 3), self.take(f"{inner}.bias", width)

    def _mix(self, name: str) -> np.float32:
        return np.float32(1 / (1 + np.exp(-self.take(f"{name}.mix_factor", 1)[0])))

    # Values

    def _added(self, x: Frames, y: Frames) -> Frames:
        return replace(x, values=[self.g.op("Add", a, b) for a, b in zip(x.values, y.values, strict=True)])

    def channels_last(self, frames: Sequence[ir.Value]) -> ir.Value:
        """`[1, t, H, W, C]` of frames `[1, C, H, W]`."""
        return self.g.stack([self.g.channels_last(x) for x in frames])

    def pixels(self, x: ir.Value) -> ir.Value:
        """[-1, 1] to 0 … 255."""
        g = self.g
        clamped = g.op("Clip", x, g.constant(-1), g.constant(1))
        return g.cast(g.op("Round", g.op("Mul", g.op("Add", clamped, g.constant(1)), g.constant(127.5))), UINT8)


def _taps_by_frame(window: Sequence[ir.Value | None]) -> list[tuple[ir.Value, tuple[int, ...]]]:
    """The window's frames, each once, with the taps that are on it."""
    frames = dict.fromkeys(frame for frame in window if frame is not None)
    return [(frame, tuple(tap for tap, other in enumerate(window) if other is frame)) for frame in frames]
