"""The ONNX graphs of a trained tokenizer, built operator by operator from its tensors."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch

import distill
import training_state
from graph_runner import GraphRunner
from shape import NAME
from small_network import FAMILY, Block, Configuration, Decoder, Encoder, StepMemory, Tokenizer
from teacher import Folder
from vidtok_export import convolutions, fsq
from vidtok_export import tokenizer as folder
from vidtok_export.graph import Graph, dimension

FLOAT, UINT8, INT32, BOOL = ir.DataType.FLOAT, ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.BOOL
PIXEL_SCALE = 127.5  # [0, 255] to [-1, 1]


class Step:
    """One step of the encoder or the decoder under construction: a `Graph`, and the states of its layers."""

    def __init__(self, role: str) -> None:
        self.g = Graph(role)
        self._next_states: list[tuple[str, ir.Value, list[int | str]]] = []

    def first_input(self) -> None:
        self._first = self.g.input("first", BOOL, [1])

    def convolve(self, name: str, layer: torch.nn.Conv2d, x: ir.Value) -> ir.Value:
        """Kernels are kept in half precision, which halves the file; runtimes widen them once, as they load it."""
        g = self.g
        half = g.weight(layer.weight.detach().numpy().astype(np.float16), f"{name}.weight.half")
        kernel = g.annotate(g.cast(half, FLOAT), FLOAT, layer.weight.shape)
        bias = None if layer.bias is None else g.weight(layer.bias.detach().numpy(), f"{name}.bias")
        return g.conv(x, kernel, bias, [*layer.padding, *layer.padding], layer.stride[0])

    def previous(self, name: str, x: ir.Value, width: int, scale: int) -> ir.Value:
        """The same tensor a step ago, kept in a state; zeros on a segment's first step."""
        shape = [1, width, dimension("H", scale), dimension("W", scale)]
        state = self.g.input(f"state.{name}", FLOAT, shape)
        self._next_states.append((f"state.{name}.next", x, shape))
        return self.g.op("Where", self._first, self.g.constant(0), state)

    def block(self, name: str, block: Block, x: ir.Value, scale: int) -> ir.Value:
        g = self.g
        before = self.previous(block.name, x, block.now.in_channels, scale)
        hidden = g.op(
            "Add", self.convolve(f"{name}.now", block.now, x), self.convolve(f"{name}.before", block.before, before)
        )
        return g.op("Add", self.convolve(f"{name}.out", block.out, g.op("Relu", hidden)), x)

    def model(self) -> onnx.ModelProto:
        for name, value, shape in self._next_states:
            self.g.output(self.g.op("Identity", value), name, FLOAT, shape)
        model = self.g.model()
        convolutions.rewrite(model)
        onnx.checker.check_model(model, full_check=True)
        return model


def encoder_graph(tokenizer: Tokenizer, with_z: bool = False) -> onnx.ModelProto:
    """Pixels to tokens. `with_z`: also gives z, from before quantizing."""
    config, net = tokenizer.config, tokenizer.encoder
    step = Step("encoder")
    g = step.g
    frames = g.input("frames", FLOAT, [1, config.time_factor, "H", "W", 3])
    step.first_input()

    front = g.constant([0], np.int64)
    x = g.channels_first(g.op("Squeeze", frames, front))
    # Frames and colours become channels; zeros keep H and W.
    x = g.op("Reshape", x, g.constant([1, config.channels, 0, 0], np.int64))
    pixels = g.op("Sub", g.op("Div", x, g.constant(PIXEL_SCALE)), g.constant(1))

    x = step.convolve("encoder.fold", net.fold, pixels)
    for index, block in enumerate(net.blocks):
        x = step.block(f"encoder.blocks.{index}", block, x, config.patch)
    x = step.convolve("encoder.down", net.down, x)
    for index, block in enumerate(net.deep_blocks):
        x = step.block(f"encoder.deep_blocks.{index}", block, x, config.space_factor)
    x = step.convolve("encoder.code", net.code, normalize(g, net, x))
    z = g.op("Add", x, step.convolve("encoder.linear", net.linear, pixels))

    grid = [1, 1, dimension("H", config.space_factor), dimension("W", config.space_factor)]
    g.output(g.stack([fsq.quantize(g, z, config.levels, axis=1)]), "tokens", INT32, grid)
    if with_z:
        g.output(g.stack([g.channels_last(z)]), "z", FLOAT, [*grid, len(config.levels)])
    return step.model()


def normalize(g: Graph, net: Encoder, x: ir.Value) -> ir.Value:
    """LayerNorm over the channels."""
    axis = g.constant([1], np.int64)
    centred = g.op("Sub", x, g.op("ReduceMean", x, axis))
    variance = g.op("ReduceMean", g.op("Mul", centred, centred), axis)
    deviation = g.op("Sqrt", g.op("Add", variance, g.constant(1e-6)))
    weight, bias = (
        g.weight(getattr(net.norm, part).detach()[:, None, None].numpy(), f"encoder.norm.{part}")
        for part in ("weight", "bias")
    )
    return g.op("Add", g.op("Mul", g.op("Div", centred, deviation), weight), bias)


def decoder_graph(tokenizer: Tokenizer, with_recon: bool = False) -> onnx.ModelProto:
    """Tokens to pixels. `with_recon`: also gives the frames before they are clamped."""
    config, net = tokenizer.config, tokenizer.decoder
    step = Step("decoder")
    g = step.g
    grid = [1, 1, dimension("H", config.space_factor), dimension("W", config.space_factor)]
    (tokens,) = g.unstack(g.input("tokens", INT32, grid), 1)
    step.first_input()

    x = step.convolve("decoder.code", net.code, fsq.dequantize(g, tokens, config.levels, axis=1))
    for index, block in enumerate(net.deep_blocks):
        x = step.block(f"decoder.deep_blocks.{index}", block, x, config.space_factor)
    x = step.convolve("decoder.up", net.up, x)
    x = g.op("DepthToSpace", x, blocksize=2, mode="CRD")
    for index, block in enumerate(net.blocks):
        x = step.block(f"decoder.blocks.{index}", block, x, config.patch)
    recon = head(step, net, config, x)

    shape = [1, config.time_factor, "H", "W", 3]
    if with_recon:
        g.output(as_frames(g, config, recon), "recon", FLOAT, shape)
    pixels = g.op("Round", g.op("Mul", g.op("Add", recon, g.constant(1)), g.constant(PIXEL_SCALE)))
    pixels = g.cast(g.op("Clip", pixels, g.constant(0), g.constant(255)), UINT8)
    g.output(as_frames(g, config, pixels), "frames", UINT8, shape)
    return step.model()


def head(step: Step, net: Decoder, config: Configuration, x: ir.Value) -> ir.Value:
    """The decoder's last layer: frames `[1, 3 · frames, H, W]`, before they are clamped."""
    before = step.previous("head", x, config.decoder_widths[0], config.patch)
    x = step.g.op(
        "Add",
        step.convolve("decoder.head", net.head, x),
        step.convolve("decoder.head_before", net.head_before, before),
    )
    return step.g.op("DepthToSpace", x, blocksize=config.patch, mode="CRD")


def as_frames(g: Graph, config: Configuration, x: ir.Value) -> ir.Value:
    """`[1, 3 · frames, H, W]` to `[1, frames, H, W, 3]`."""
    frames = g.op("Reshape", x, g.constant([config.time_factor, 3, 0, 0], np.int64))
    return g.op("Unsqueeze", g.channels_last(frames), g.constant([0], np.int64))


def verify(tokenizer: Tokenizer, encoder: onnx.ModelProto, decoder: onnx.ModelProto) -> None:
    """Run both graphs beside the network, step by step; refuse graphs that give something else."""
    height, width = 48, 72
    encode, decode = GraphRunner(encoder), GraphRunner(decoder)
    encode.start(height, width)
    decode.start(height, width)
    past, future = StepMemory(), StepMemory()
    random = np.random.default_rng(0)
    for _ in range(4):
        frames = smooth(random, height, width, tokenizer.config.time_factor)
        x = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).flatten(1, 2) / PIXEL_SCALE - 1
        with torch.inference_mode():
            z = tokenizer.encoder(x, past)
            codes = tokenizer.quantizer(z)
            recon = tokenizer.decoder(codes, future).unflatten(1, (-1, 3)).permute(0, 1, 3, 4, 2).numpy()
            tokens = tokenizer.quantizer.indices(codes).numpy()
        encoded = encode.step("frames", frames)
        compare("z", encoded["z"][:, 0], z.permute(0, 2, 3, 1).numpy(), 1e-4)
        # A token may differ where z lies on a rounding tie; the decoder gets PyTorch's.
        if np.mean(encoded["tokens"][:, 0] != tokens) > 0.01:
            raise SystemExit("the encoder graph's tokens differ from PyTorch's in more than 1% of the cells")
        decoded = decode.step("tokens", tokens[:, None].astype(np.int32))
        compare("recon", decoded["recon"], recon, 1e-4)
        pixels = np.clip(np.round((recon + 1) * PIXEL_SCALE), 0, 255)
        compare("frames", decoded["frames"].astype(np.float32), pixels, 1)


def with_half_precision_kernels(tokenizer: Tokenizer) -> Tokenizer:
    """The same network with its kernels rounded to what the graphs hold."""
    for parameter in tokenizer.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.half().float()
    return tokenizer


def smooth(random: np.random.Generator, height: int, width: int, frames: int) -> np.ndarray:
    """Random frames, uint8 `[1, frames, height, width, 3]`, plain in each block of 8x8 pixels."""
    coarse = random.integers(0, 256, (1, frames, height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, 2).repeat(8, 3)


def compare(what: str, found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    error = float(np.abs(found - expected).max())
    if not error <= tolerance:
        raise SystemExit(f"the graph's {what} differs from PyTorch's by {error:g}; at most {tolerance:g} is rounding")


def describe(tokenizer: Tokenizer, name: str) -> folder.Description:
    config = tokenizer.config
    tensors = {key: value.numpy() for key, value in tokenizer.state_dict().items()}
    return folder.Description(
        name=name,
        digest=folder.digest(config.as_dict(), tensors),
        family=FAMILY,
        regularizer="fsq",
        levels=config.levels,
        channels=None,
        time_factor=config.time_factor,
        space_factor=config.space_factor,
        causal=True,
        window=0,
        decoder_delay=0,
        licence="MIT",
    )


def write_student(
    place: Path, name: str | None, tokenizer: Tokenizer, taught: dict[str, Any], teacher_folder: Path | None
) -> folder.Description:
    """Write a student's folder. `taught`: the checkpoint's description of the teacher, and the part that was trained.

    Raises SystemExit where the teacher's own graph is needed and `teacher_folder` does not have it.
    """
    part = taught["part"]
    teacher = folder.Description.from_entries(taught)
    description = distill.describe(teacher, part, name)
    graphs, parts = {"encoder": encoder_graph, "decoder": decoder_graph}, {}
    models = {role: graph(tokenizer) for role, graph in graphs.items() if part in (role, "both")}
    for role in graphs.keys() - models.keys():
        if teacher_folder is None:
            raise SystemExit(
                f"only the {part} was trained: name the teacher's folder, whose {role} it needs, with --teacher"
            )
        found = Folder(teacher_folder)
        if found.description.digest != teacher.digest:
            raise SystemExit(
                f"{teacher_folder} is not the teacher: its digest is {found.description.digest}, not {teacher.digest}"
            )
        if place.resolve() == teacher_folder.resolve():
            raise SystemExit(f"{place} holds the teacher: name another folder to write")
        models[role] = found.graph(role)
        metadata = {entry.key: entry.value for entry in models[role].metadata_props}
        parts[role] = int(metadata.get("vidtok.attention-parts", 0))
    folder.write(place, description, models["encoder"], models["decoder"], attention_parts=parts)
    return description


def run(arguments: argparse.Namespace) -> None:
    tokenizer = with_half_precision_kernels(training_state.load_tokenizer(arguments.checkpoint))
    verify(tokenizer, encoder_graph(tokenizer, with_z=True), decoder_graph(tokenizer, with_recon=True))
    taught = training_state.load(arguments.checkpoint).get("teacher")
    if taught:
        description = write_student(arguments.folder, arguments.name, tokenizer, taught, arguments.teacher)
    else:
        description = describe(tokenizer, arguments.name or NAME)
        folder.write(arguments.folder, description, encoder_graph(tokenizer), decoder_graph(tokenizer))
    print(f"wrote {arguments.folder}: {description.name}, digest {description.digest}")
