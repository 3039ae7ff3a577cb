"""The ONNX graphs of a trained tokenizer, built operator by operator from its tensors."""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

import distill
import training_state
from graph_runner import Session
from shape import NAME
from small_network import FAMILY, Block, Configuration, Decoder, Encoder, StepMemory, Tokenizer
from teacher import Folder

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from vidtok_export import tokenizer as folder

OPSET = 18
IR_VERSION = 8  # the oldest that has opset 18
PIXEL_SCALE = 127.5  # [0, 255] to [-1, 1]


class Graph:
    """An ONNX graph under construction. Every method adds a node and returns its output's name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.state_outputs: list[onnx.ValueInfoProto] = []

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: object) -> str:
        output = name or f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: object, kind: type = np.float32) -> str:
        if name not in self.constants:
            array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.array(value)
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array.astype(kind)), name)
        return name

    def kernel(self, name: str, kernel: torch.Tensor) -> str:
        """Kernels are kept in half precision, which halves the file; runtimes widen them once, as they load it."""
        half = self.constant(f"{name}.half", kernel, np.float16)
        return self.add("Cast", half, name=name, to=TensorProto.FLOAT)

    def input(self, name: str, kind: int, shape: list[int | str]) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, shape: list[int | str]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def convolve(self, name: str, layer: torch.nn.Conv2d, x: str) -> str:
        inputs = [x, self.kernel(f"{name}.weight", layer.weight)]
        if layer.bias is not None:
            inputs.append(self.constant(f"{name}.bias", layer.bias))
        return self.add(
            "Conv", *inputs, kernel_shape=layer.kernel_size, strides=layer.stride, pads=[*layer.padding, *layer.padding]
        )

    def previous(self, name: str, x: str, width: int, shrink: int) -> str:
        """The same tensor a step ago, kept in a state; zeros on a segment's first step."""
        shape = [1, width, f"H/{shrink}", f"W/{shrink}"]
        state = self.input(f"state.{name}", TensorProto.FLOAT, shape)
        self.state_outputs.append(helper.make_tensor_value_info(f"{state}.next", TensorProto.FLOAT, shape))
        self.add("Identity", x, name=f"{state}.next")
        return self.add("Where", "first", self.constant("zero", 0.0), state)

    def block(self, name: str, block: Block, x: str, shrink: int) -> str:
        before = self.previous(block.name, x, block.now.in_channels, shrink)
        hidden = self.add(
            "Add", self.convolve(f"{name}.now", block.now, x), self.convolve(f"{name}.before", block.before, before)
        )
        return self.add("Add", self.convolve(f"{name}.out", block.out, self.add("Relu", hidden)), x)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs + self.state_outputs, list(self.constants.values())
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        model.producer_name = "gst-vidtok"
        onnx.checker.check_model(model, full_check=True)
        return model


def encoder_graph(tokenizer: Tokenizer, with_z: bool = False) -> onnx.ModelProto:
    config, net = tokenizer.config, tokenizer.encoder
    space, codes = config.space_factor, len(config.levels)
    graph = Graph("encoder")
    graph.input("frames", TensorProto.UINT8, [1, config.time_factor, "H", "W", 3])
    graph.input("first", TensorProto.BOOL, [1])
    graph.output("tokens", TensorProto.INT32, [1, 1, f"H/{space}", f"W/{space}"])

    x = graph.add("Squeeze", "frames", graph.constant("front", [0], np.int64))
    x = graph.add("Transpose", x, perm=[0, 3, 1, 2])
    # Frames and colours become channels; zeros keep H and W.
    x = graph.add("Reshape", x, graph.constant("channels_shape", [1, config.channels, 0, 0], np.int64))
    x = graph.add("Cast", x, to=TensorProto.FLOAT)
    x = graph.add("Div", x, graph.constant("pixel_scale", PIXEL_SCALE))
    frames = graph.add("Sub", x, graph.constant("one", 1.0))

    x = graph.convolve("encoder.fold", net.fold, frames)
    for index, block in enumerate(net.blocks):
        x = graph.block(f"encoder.blocks.{index}", block, x, config.patch)
    x = graph.convolve("encoder.down", net.down, x)
    for index, block in enumerate(net.deep_blocks):
        x = graph.block(f"encoder.deep_blocks.{index}", block, x, space)
    x = graph.convolve("encoder.code", net.code, normalize(graph, net, x))
    z = graph.add("Add", x, graph.convolve("encoder.linear", net.linear, frames))
    quantize(graph, tokenizer, z)
    if with_z:
        x = graph.add("Transpose", z, perm=[0, 2, 3, 1])
        graph.add("Unsqueeze", x, graph.constant("front", [0], np.int64), name="z")
        graph.output("z", TensorProto.FLOAT, [1, 1, f"H/{space}", f"W/{space}", codes])
    return graph.model()


def normalize(graph: Graph, net: Encoder, x: str) -> str:
    axis = graph.constant("channel_axis", [1], np.int64)
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axis))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axis)
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.constant("epsilon", 1e-6)))
    normal = graph.add("Div", centred, deviation)
    scaled = graph.add("Mul", normal, graph.constant("encoder.norm.weight", net.norm.weight[:, None, None]))
    return graph.add("Add", scaled, graph.constant("encoder.norm.bias", net.norm.bias[:, None, None]))


def quantize(graph: Graph, tokenizer: Tokenizer, z: str) -> None:
    quantizer = tokenizer.quantizer
    x = graph.add("Tanh", graph.add("Add", z, graph.constant("shift", quantizer.shift)))
    x = graph.add("Mul", x, graph.constant("reach", quantizer.reach))
    x = graph.add("Round", graph.add("Sub", x, graph.constant("offset", quantizer.offset)))
    digits = graph.add("Add", x, graph.constant("middle", quantizer.middle))
    # Exact in float32: the largest index is far below 2^24.
    digits = graph.add("Mul", digits, graph.constant("basis", quantizer.basis))
    index = graph.add("ReduceSum", digits, graph.constant("channel_axis", [1], np.int64))
    graph.add("Cast", index, to=TensorProto.INT32, name="tokens")


def decoder_graph(tokenizer: Tokenizer, with_recon: bool = False) -> onnx.ModelProto:
    config, net = tokenizer.config, tokenizer.decoder
    space, patch = config.space_factor, config.patch
    graph = Graph("decoder")
    graph.input("tokens", TensorProto.INT32, [1, 1, f"H/{space}", f"W/{space}"])
    graph.input("first", TensorProto.BOOL, [1])
    graph.output("frames", TensorProto.UINT8, [1, config.time_factor, "H", "W", 3])

    x = graph.convolve("decoder.code", net.code, dequantize(graph, tokenizer))
    for index, block in enumerate(net.deep_blocks):
        x = graph.block(f"decoder.deep_blocks.{index}", block, x, space)
    x = graph.convolve("decoder.up", net.up, x)
    x = graph.add("DepthToSpace", x, blocksize=2, mode="CRD")
    for index, block in enumerate(net.blocks):
        x = graph.block(f"decoder.blocks.{index}", block, x, patch)
    pixels(graph, net, config, x, with_recon)
    return graph.model()


def dequantize(graph: Graph, tokenizer: Tokenizer) -> str:
    """Token index to code: divide by each digit's basis, keep what is below its number of levels."""
    basis = tokenizer.quantizer.basis
    levels = torch.tensor(tokenizer.config.levels)[:, None, None]
    digits = graph.add("Div", "tokens", graph.constant("basis", basis, np.int32))
    digits = graph.add("Mod", digits, graph.constant("levels", levels, np.int32))
    x = graph.add("Cast", digits, to=TensorProto.FLOAT)
    middle = graph.constant("middle", tokenizer.quantizer.middle)
    return graph.add("Div", graph.add("Sub", x, middle), middle)


def pixels(graph: Graph, net: Decoder, config: Configuration, x: str, with_recon: bool) -> None:
    before = graph.previous("head", x, config.width, config.patch)
    x = graph.add(
        "Add",
        graph.convolve("decoder.head", net.head, x),
        graph.convolve("decoder.head_before", net.head_before, before),
    )
    x = graph.add("DepthToSpace", x, blocksize=config.patch, mode="CRD")
    front = graph.constant("front", [0], np.int64)
    separate = graph.constant("frames_shape", [config.time_factor, 3, 0, 0], np.int64)
    if with_recon:
        recon = graph.add("Transpose", graph.add("Reshape", x, separate), perm=[0, 2, 3, 1])
        graph.add("Unsqueeze", recon, front, name="recon")
        graph.output("recon", TensorProto.FLOAT, [1, config.time_factor, "H", "W", 3])
    scale = graph.constant("pixel_scale", PIXEL_SCALE)
    x = graph.add("Mul", graph.add("Add", x, graph.constant("one", 1.0)), scale)
    x = graph.add("Clip", graph.add("Round", x), graph.constant("black", 0.0), graph.constant("white", 255.0))
    x = graph.add("Reshape", graph.add("Cast", x, to=TensorProto.UINT8), separate)
    x = graph.add("Transpose", x, perm=[0, 2, 3, 1])
    graph.add("Unsqueeze", x, front, name="frames")


def verify(tokenizer: Tokenizer, encoder: onnx.ModelProto, decoder: onnx.ModelProto) -> None:
    """Step both graphs beside the network; refuse graphs that are not equal to it."""
    height, width = 48, 72
    encode, decode = Session(encoder), Session(decoder)
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
            raise SystemExit("the encoder graph's tokens differ from PyTorch's on more than 1% of positions")
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
    """`taught`: what the checkpoint says of the teacher and of the part that was trained."""
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
        own = Folder(teacher_folder)
        if own.description.digest != teacher.digest:
            raise SystemExit(
                f"{teacher_folder} is not the teacher: its digest is {own.description.digest}, not {teacher.digest}"
            )
        if place.resolve() == teacher_folder.resolve():
            raise SystemExit(f"{place} holds the teacher: name another folder to write")
        models[role] = own.graph(role)
        found = {entry.key: entry.value for entry in models[role].metadata_props}
        parts[role] = int(found.get("vidtok.attention-parts", 0))
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
