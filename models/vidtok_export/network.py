"""VidTok's encoder and decoder, layer by layer: one description for every form of graph.

A graph is one step: the frames of one latent frame, or a whole window. A layer that needs frames of the step before
gets them as an input `state.LAYER…`: its own input, some frames back. An output with `.next` in its name is the next
state.
"""

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir

from . import fsq
from .architecture import Configuration
from .form import FLOAT, INT32, UINT8, Form, Frames, Pointwise
from .weights import Weights

LOG_VARIANCE_RANGE = (-30.0, 20.0)


def encoder(configuration: Configuration, weights: Weights, form: Form, test_outputs: bool = False) -> onnx.ModelProto:
    """The encoder's graph: pixels to tokens. `test_outputs`: an FSQ encoder also gives `z`, from before quantizing."""
    net = _Network(form, weights)
    g, c, count = form.g, configuration, configuration.step_frames
    # Floats, not bytes: pictures that were resized have values between whole numbers, which change tokens.
    frames = g.input("frames", FLOAT, form.shape(count, 1, 3))
    form.first_input()

    # In float32 also where layers calculate in half precision, whose numbers from 128 on are an eighth apart.
    pixels = form.unpack(frames, count, 1)
    pixels = [g.op("Sub", g.op("Div", p, g.constant(127.5)), g.constant(1)) for p in pixels]
    x = Frames([g.working(p) for p in pixels], count, 3, 1)
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
    grid = form.shape(x.count, x.scale)
    if c.levels:
        indices = [fsq.quantize(g, z, c.levels, form.channel_axis) for z in latent]
        g.output(form.pack(indices, x), "tokens", INT32, grid)
        if test_outputs:
            g.output(form.pack(latent, x, c.z_channels), "z", FLOAT, [*grid, c.z_channels])
    else:
        means, log_variances = zip(*(g.split(z, 2, form.channel_axis) for z in latent), strict=True)
        low, high = map(g.constant, LOG_VARIANCE_RANGE)
        log_variances = [g.op("Clip", v, low, high) for v in log_variances]
        for values, name in ((means, "tokens"), (log_variances, "logvar")):
            g.output(form.pack(values, x, c.z_channels), name, FLOAT, [*grid, c.z_channels])
    return form.finish()


def decoder(configuration: Configuration, weights: Weights, form: Form, test_outputs: bool = False) -> onnx.ModelProto:
    """The decoder's graph: tokens to pixels. `test_outputs`: also gives `recon`, the picture before it is clamped."""
    net = _Network(form, weights)
    g, c, count = form.g, configuration, configuration.step_frames // configuration.time_factor
    if c.levels:
        tokens = g.input("tokens", INT32, form.shape(count, c.space_factor))
        indices = form.unpack(tokens, count, c.space_factor)
        codes = [fsq.dequantize(g, i, c.levels, form.channel_axis) for i in indices]
    else:
        tokens = g.input("tokens", FLOAT, form.shape(count, c.space_factor, c.z_channels))
        codes = form.unpack(tokens, count, c.space_factor)
    form.first_input()
    edge = form.edge_input() if c.decoder_delay else None

    x = Frames([g.working(code) for code in codes], count, c.z_channels, c.space_factor)
    x = net.conv_3d(x, "conv_in", c.widths[-1])
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
    picture = form.shape(x.count, x.scale, 3)
    g.output(form.pack([net.pixels(y) for y in recon], x, 3, dtype=UINT8), "frames", UINT8, picture)
    if test_outputs:
        g.output(form.pack(recon, x, 3), "recon", FLOAT, picture)
    return form.finish()


class _Network:
    """The layers of encoder and decoder. Names are the checkpoint's, without the role."""

    def __init__(self, form: Form, weights: Weights) -> None:
        self.form = form
        self.family = form.family
        self.weights = weights

    def take(self, name: str, *shape: int) -> np.ndarray:
        return self.weights.take(f"{self.form.role}.{name}", *shape)

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
        return self.form.added(x, h)

    def norm(self, x: Frames, name: str, activate: bool = True) -> Frames:
        weight, bias = (self.take(f"{name}.norm.{part}", x.channels) for part in ("weight", "bias"))
        return self.form.norm(x, name, weight, bias, activate)

    def attention(self, x: Frames, name: str) -> Frames:
        h = self.norm(x, f"{name}.norm", activate=False)
        weights = {part: self._pointwise(x.channels, f"{name}.{part}") for part in ("q", "k", "v", "proj_out")}
        factor = np.float32(x.channels**-0.5)
        weights["q"] = (weights["q"][0] * factor, weights["q"][1] * factor)
        return self.form.added(x, self.form.attention(h, name, weights))

    # Space

    def conv_space(self, x: Frames, name: str, width: int, size: int = 3) -> Frames:
        return self.form.conv(x, name, *self._kernel_2d(x, name, width, size), pads=[size // 2] * 4)

    def space_down(self, x: Frames, name: str) -> Frames:
        name += ".conv"
        return self.form.conv(x, name, *self._kernel_2d(x, name, x.channels), pads=[0, 0, 1, 1], stride=2)

    def space_up(self, x: Frames, name: str) -> Frames:
        name += ".conv"
        return self.form.conv_of_twice(x, name, *self._kernel_2d(x, name, x.channels), pads=[1] * 4)

    # Time

    def conv_3d(self, x: Frames, name: str, width: int) -> Frames:
        kernel, bias = self._kernel_3d(x, name, width)
        return self.form.over_time(x, name, [_taps(kernel)], bias, self.family.conv_padding)

    def conv_time(self, x: Frames, name: str, width: int) -> Frames:
        inner = name + self.family.inner
        kernel = self.take(f"{inner}.weight", width, x.channels, 3)[..., None, None]
        bias = self.take(f"{inner}.bias", width)
        return self.form.over_time(x, name, [_taps(kernel)], bias, self.family.conv_padding)

    def time_down(self, x: Frames, name: str) -> Frames:
        """α · average of 3 frames + (1-α) · convolution, folded into one convolution of stride 2."""
        alpha = self._mix(name)
        kernel, bias = self._kernel_3d(x, f"{name}.conv", x.channels)
        kernel = (1 - alpha) * kernel
        kernel[:, :, :, 1, 1] += alpha / 3 * np.eye(x.channels, dtype=np.float32)[:, :, None]
        return self.form.over_time(x, name, [_taps(kernel)], (1 - alpha) * bias, self.family.down_padding, stride=2)

    def time_up(self, x: Frames, name: str, edge: ir.Value | None) -> Frames:
        """u = x with twice the frames; α · u + (1-α) · convolution of u, folded into one convolution."""
        alpha = self._mix(name)
        kernel, bias = self._kernel_3d(x, f"{name}.conv", x.channels)
        kernel = (1 - alpha) * kernel
        centre = self.family.conv_padding[0]  # the tap on the frame itself
        kernel[:, :, centre, 1, 1] += alpha * np.eye(x.channels, dtype=np.float32)
        bias = (1 - alpha) * bias
        a, b, c = _taps(kernel)
        if self.family.linear_upsampling:
            x = self.form.linear_twice(x, name, edge)
            return self.form.over_time(x, f"{name}.conv", [[a, b, c]], bias, self.family.conv_padding)
        # Nearest: two taps fall on the same frame, so they are summed. Padding before doubling halves the state.
        if self.family.causal:
            return self.form.over_time(x, name, [[a + b, c], [a, b + c]], bias, (1, 0))
        return self.form.over_time(x, name, [[a, b + c, None], [None, a + b, c]], bias, (1, 1))

    # Weights

    def _kernel_2d(self, x: Frames, name: str, width: int, size: int = 3) -> tuple[np.ndarray, np.ndarray]:
        return self.take(f"{name}.weight", width, x.channels, size, size), self.take(f"{name}.bias", width)

    def _kernel_3d(self, x: Frames, name: str, width: int) -> tuple[np.ndarray, np.ndarray]:
        inner = name + self.family.inner
        return self.take(f"{inner}.weight", width, x.channels, 3, 3, 3), self.take(f"{inner}.bias", width)

    def _pointwise(self, channels: int, name: str) -> Pointwise:
        """The weights of a 1×1×1 convolution."""
        inner = name + self.family.inner
        kernel = self.take(f"{inner}.weight", channels, channels, 1, 1, 1)
        return kernel[:, :, 0, 0, 0], self.take(f"{inner}.bias", channels)

    def _mix(self, name: str) -> np.float32:
        return np.float32(1 / (1 + np.exp(-self.take(f"{name}.mix_factor", 1)[0])))

    # Values

    def pixels(self, x: ir.Value) -> ir.Value:
        """Scales [-1, 1] to whole numbers from 0 to 255, still as floats."""
        g = self.form.g
        clamped = g.op("Clip", x, g.constant(-1), g.constant(1))
        return g.op("Round", g.op("Mul", g.op("Add", clamped, g.constant(1)), g.constant(127.5)))


def _taps(kernel: np.ndarray) -> list[np.ndarray]:
    """Splits a kernel `[out, in, 3, height, width]` into its three taps."""
    return [kernel[:, :, tap] for tap in range(3)]
