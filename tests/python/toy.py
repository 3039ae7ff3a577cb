"""A toy tokenizer whose graphs run N streams: small enough to read, and every output depends on all earlier inputs.

    encoder: state' = mean of the step's frames in each cell + state / 2;  tokens = state' · 100 + steps so far
    decoder: state' = tokens % 251 + state / 2;                            frames = state' · 0.4 + (edge ? 0 : 10)

`first` makes the states 0. The encoder has a float and an integer state, of different ranks.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vidtok_export import tokenizer

CELL, FRAMES, CODES = 8, 4, 32768
N, H, W = "N", "H", "W"
GRID = [N, 1, f"H/{CELL}", f"W/{CELL}"]


class Toy:
    def __init__(self, role: str) -> None:
        self.role = role
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, element: int, shape: list) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def op(self, kind: str, *inputs: object, **attributes: object) -> str:
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def constant(self, value: object) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def output(self, value: str, name: str, element: int, shape: list | None) -> None:
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, element, shape))

    def state(self, name: str, element: int, shape: list, first: str) -> str:
        """The state, 0 where a segment starts."""
        state = self.input(f"state.{name}", element, shape)
        flags = self.op("Reshape", first, np.array([-1] + [1] * (len(shape) - 1), np.int64))
        zero = np.zeros([], helper.tensor_dtype_to_np_dtype(element))
        return self.op("Where", flags, zero, state)

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, self.role, self.inputs, self.outputs, self.constants)
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 18)])


def encoder(mixed: bool = False, floats: bool = False) -> onnx.ModelProto:
    """`mixed`: with an operator that changes nothing here, and that OpenVINO leaves to the CPU.

    `floats`: takes floats, not bytes.
    """
    g = Toy("encoder")
    frames = g.input("frames", TensorProto.FLOAT if floats else TensorProto.UINT8, [N, FRAMES, H, W, 3])
    first = g.input("first", TensorProto.BOOL, [N])
    memory = g.state("memory", TensorProto.FLOAT, GRID, first)
    steps = g.state("steps", TensorProto.INT32, [N, 1], first)
    values = frames if floats else g.op("Cast", frames, to=TensorProto.FLOAT)
    sums = g.op("ReduceSum", values, np.array([1, 4], np.int64), keepdims=0)
    sums = g.op("Unsqueeze", sums, np.array([1], np.int64))
    means = g.op("AveragePool", sums, kernel_shape=[CELL, CELL], strides=[CELL, CELL])
    if mixed:
        # The determinant of a matrix of one element.
        means = g.op("Det", g.op("Unsqueeze", means, np.array([4, 5], np.int64)))
    memory = g.op("Add", g.op("Mul", memory, np.float32(0.5)), g.op("Mul", means, np.float32(1 / 12)))
    steps = g.op("Add", steps, np.int32(1))
    counted = g.op("Reshape", steps, np.array([-1, 1, 1, 1], np.int64))
    scaled = g.op("Cast", g.op("Mul", memory, np.float32(100)), to=TensorProto.INT32)
    g.output(g.op("Mod", g.op("Add", scaled, counted), np.int32(CODES)), "tokens", TensorProto.INT32, GRID)
    g.output(memory, "state.memory.next", TensorProto.FLOAT, GRID)
    g.output(steps, "state.steps.next", TensorProto.INT32, [N, 1])
    return g.model()


def decoder(cell: int = CELL, float_edge: bool = False) -> onnx.ModelProto:
    """With another `cell`, the frames have another size than the tokenizer says.

    `float_edge`: as exporters before `edge` was a truth value wrote it, a number: 0 to clamp, else 0.25.
    """
    g = Toy("decoder")
    tokens = g.input("tokens", TensorProto.INT32, GRID)
    first = g.input("first", TensorProto.BOOL, [N])
    edge = g.input("edge", TensorProto.FLOAT if float_edge else TensorProto.BOOL, [N])
    memory = g.state("memory", TensorProto.FLOAT, GRID, first)
    values = g.op("Cast", g.op("Mod", tokens, np.int32(251)), to=TensorProto.FLOAT)
    memory = g.op("Add", g.op("Mul", memory, np.float32(0.5)), values)
    if float_edge:
        brighter = g.op("Mul", edge, np.float32(40))
    else:
        brighter = g.op("Where", edge, np.float32(0), np.float32(10))
    brighter = g.op("Reshape", brighter, np.array([-1, 1, 1, 1], np.int64))
    shown = g.op("Min", g.op("Add", g.op("Mul", memory, np.float32(0.4)), brighter), np.float32(255))
    scales = np.array([1, 1, cell, cell], np.float32)
    if cell != CELL:
        # The size depends on an input, so that it is not known before the graph runs.
        scales = g.op("Add", scales, g.op("Mul", g.op("ReduceMax", brighter, keepdims=0), np.float32(0)))
    large = g.op("Resize", shown, "", scales, mode="nearest")
    picture = g.op("Unsqueeze", large, np.array([4], np.int64))
    repeated = g.op("Expand", picture, np.array([1, FRAMES, 1, 1, 3], np.int64))
    shape = [N, FRAMES, H, W, 3] if cell == CELL else [N, FRAMES, "rows", "columns", 3]
    g.output(g.op("Cast", repeated, to=TensorProto.UINT8), "frames", TensorProto.UINT8, shape)
    g.output(memory, "state.memory.next", TensorProto.FLOAT, GRID)
    return g.model()


def export(
    folder: Path,
    name: str,
    cell: int = CELL,
    mixed: bool = False,
    float_edge: bool = False,
    floats: bool = False,
) -> None:
    """Writes a tokenizer folder in which both targets have these graphs."""
    description = tokenizer.Description(
        name=name,
        digest=tokenizer.digest({"toy": name}, {}),
        family="toy",
        regularizer="fsq",
        levels=(8,) * 5,
        channels=None,
        time_factor=FRAMES,
        space_factor=CELL,
        causal=True,
        window=0,
        decoder_delay=3,
        licence="MIT",
    )
    for target in tokenizer.TARGETS:
        tokenizer.write(folder, description, encoder(mixed, floats), decoder(cell, float_edge), target)
