"""The pass that puts convolutions into the plugin's operators (`models/vidtok_export/convolutions.py`)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from golden import ROOT
from vidtok_export import convolutions
from vidtok_export.onnx_runtime import onnxruntime

SCRIPT = ROOT / "models" / "convolutions.py"
WIDTH = 16


def graph(nodes: list[onnx.NodeProto], outputs: list[str], kernels: dict[str, tuple[int, ...]]) -> onnx.ModelProto:
    """A model of `x` and `z`, with made-up weights of these shapes."""
    random = np.random.default_rng(5)
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in kernels.items()}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, WIDTH, "H", "W"]) for name in ("x", "z")]
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, "O", "h", "w"]) for name in outputs]
    initializers = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    made = helper.make_graph(nodes, "graph", values, results, initializers)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def conv(x: str, output: str, weight: str, bias: str | None = None, **attributes: object) -> onnx.NodeProto:
    inputs = [x, weight, *([bias] if bias else [])]
    return helper.make_node("Conv", inputs, [output], **({"kernel_shape": [3, 3], "pads": [1] * 4} | attributes))


def add(a: str, b: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Add", [a, b], [output])


SQUARE = (WIDTH, WIDTH, 3, 3)
WEIGHTS = {"v": SQUARE, "w": SQUARE, "u": SQUARE, "b": (WIDTH,), "c": (WIDTH,)}


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    feeds = {name: random.normal(size=(1, WIDTH, 5, 7)).astype(np.float32) for name in ("x", "z")}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


CASES = {
    "one": ([conv("x", "y", "w", "b")], ["y"], ["Conv3x3"]),
    "residual": ([conv("x", "p", "w", "b"), add("z", "p", "y")], ["y"], ["Conv3x3Add"]),
    "three taps": (
        [
            *(conv("x", "p", "w", "b"), conv("z", "q", "v"), add("p", "q", "s")),
            *(conv("x", "r", "u"), add("s", "r", "y")),
        ],
        ["y"],
        ["Conv3x3Of3"],
    ),
    "two taps and a residual": (
        [conv("x", "p", "w", "b"), conv("z", "q", "v"), add("q", "p", "s"), add("s", "x", "y")],
        ["y"],
        ["Conv3x3Of2Add"],
    ),
    "two biases": (
        [conv("x", "p", "w", "b"), conv("z", "q", "v", "c"), add("p", "q", "y")],
        ["y"],
        ["Conv3x3Add", "Conv3x3"],
    ),
    "a sum that is also used alone": (
        [conv("x", "p", "w", "b"), conv("z", "q", "v"), add("p", "q", "y"), conv("p", "t", "u", "c")],
        ["y", "t"],
        ["Add", "Conv", "Conv3x3", "Conv3x3"],
    ),
    "a tap that is an output": (
        [conv("x", "p", "w", "b"), conv("z", "q", "v"), add("p", "q", "y")],
        ["q", "y"],
        ["Conv", "Conv3x3Add"],
    ),
    "an output that is added to": ([conv("x", "p", "w", "b"), add("p", "z", "y")], ["p", "y"], ["Add", "Conv3x3"]),
    "twice the same": ([conv("x", "p", "w", "b"), add("p", "p", "y")], ["y"], ["Add", "Conv3x3"]),
    "a constant": ([conv("x", "p", "w", "b"), add("p", "k", "y")], ["y"], ["Add", "Conv3x3"]),
    "a stride": ([conv("x", "y", "w", "b", strides=[2, 2])], ["y"], ["Conv"]),
    "no zeros around": ([conv("x", "y", "w", "b", pads=[0] * 4)], ["y"], ["Conv"]),
    "few channels": ([conv("x", "y", "n", "m")], ["y"], ["Conv"]),
}


@pytest.mark.parametrize("name", CASES)
def test_sums_become_operators_that_give_the_same(name: str) -> None:
    """What ONNX Runtime makes of the functions is what the graph gave before."""
    nodes, outputs, kinds = CASES[name]
    shapes = WEIGHTS | {"k": (WIDTH, 1, 1), "n": (8, WIDTH, 3, 3), "m": (8,)}
    used = {name for node in nodes for name in node.input}
    model = graph(nodes, outputs, {name: shape for name, shape in shapes.items() if name in used})
    expected = run(model)
    count = convolutions.rewrite(model)
    found = [node.op_type for node in model.graph.node]
    assert sorted(found) == sorted(kinds)
    assert count == sum(kind.startswith("Conv3x3") for kind in kinds)
    assert {function.name for function in model.functions} == {kind for kind in kinds if kind.startswith("Conv3x3")}
    onnx.checker.check_model(model, full_check=True)
    for a, b in zip(run(model), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert convolutions.rewrite(model) == 0


def frames_of_a_layer(frames: list[str], weights: str, residuals: list[str]) -> list[onnx.NodeProto]:
    """1×1 convolutions over three frames: results `y0`, `y1`, …"""
    nodes, plain = [], {"kernel_shape": [1, 1], "pads": [0] * 4}
    for i in range(len(frames) - 2):
        taps = [f"{tap}{i}" for tap in "pqr"]
        for tap, (name, x, weight) in enumerate(zip(taps, frames[i:], weights, strict=False)):
            nodes.append(conv(x, name, weight, None if tap else "b", **plain))
        nodes += [add(taps[0], taps[1], f"s{i}"), add(f"s{i}", taps[2], f"t{i}" if residuals else f"y{i}")]
        nodes += [add(residuals[i], f"t{i}", f"y{i}")] if residuals else []
    return nodes


POINT = (WIDTH, WIDTH, 1, 1)
POINTS = {"v": POINT, "w": POINT, "u": POINT, "b": (WIDTH,)}
FRAMES = ["x", "z", "f0", "f1", "f2", "f3", "f4", "f5", "f6"]
# Frames that are made of the inputs.
MADE = [helper.make_node("Mul", ["x" if i else "z", f"k{i}"], [f"f{i}"]) for i in range(7)]
FACTORS = {f"k{i}": (1,) for i in range(7)}


@pytest.mark.parametrize(
    ("count", "residuals", "kinds"),
    [
        (3, False, ["Add", "Add", "Conv", "Conv", "Conv", "ConvOverTime2"]),
        (2, True, ["ConvOverTime2Add"]),
        (4, False, ["ConvOverTime4"]),
        (6, True, ["ConvOverTime2Add", "ConvOverTime4Add"]),
    ],
)
def test_frames_of_a_layer_are_put_together(count: int, residuals: bool, kinds: list[str]) -> None:
    layer = frames_of_a_layer(FRAMES[: count + 2], "wvu", FRAMES[2 : count + 2] if residuals else [])
    # The last frame's sum comes first, and something that needs only the first result before the last.
    layer = [node for i in reversed(range(count)) for node in layer if str(i) in node.output[0]]
    layer.insert(len(layer), helper.make_node("Relu", ["y0"], ["early"]))
    outputs = [*(f"y{i}" for i in range(1, count)), "early"]
    model = graph([*MADE, *layer], outputs, POINTS | FACTORS)
    expected = run(model)
    assert convolutions.rewrite(model) == sum(kind.startswith("ConvOverTime") for kind in kinds)
    assert sorted(node.op_type for node in model.graph.node if node.op_type not in ("Mul", "Relu")) == sorted(kinds)
    onnx.checker.check_model(model, full_check=True)
    for a, b in zip(run(model), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert convolutions.rewrite(model) == 0


def test_layers_of_other_weights_are_not_put_together() -> None:
    first = frames_of_a_layer(["x", "z", "f0"], "wvu", [])
    names = {name: f"{name}'" for node in first for name in node.output}
    second = frames_of_a_layer(["z", "f0", "f1"], "vwu", [])
    for node in second:
        node.output[0] = names[node.output[0]]
        for i, name in enumerate(node.input):
            node.input[i] = names.get(name, name)
    model = graph([*MADE, *first, *second], ["y0", "y0'"], POINTS | FACTORS)
    assert convolutions.rewrite(model) == 0


def test_a_sum_of_both_kinds_is_taken_once() -> None:
    """What adds a 3×3 convolution to one over time belongs to one of them."""
    layer = frames_of_a_layer(["x", "z", "f0", "f1"], "wvu", [])
    nodes = [*MADE, *layer, conv("x", "m", "s", "b"), add("y0", "m", "y")]
    model = graph(nodes, ["y", "y1"], POINTS | FACTORS | {"s": SQUARE})
    expected = run(model)
    assert convolutions.rewrite(model) == 2
    kinds = sorted(node.op_type for node in model.graph.node if node.op_type != "Mul")
    assert kinds == ["Conv3x3Add", "ConvOverTime2"]
    np.testing.assert_allclose(run(model)[0], expected[0], rtol=1e-4, atol=1e-4)


def test_a_graph_with_subgraphs_stays_as_it_is() -> None:
    """A subgraph may use any value, also one that is gone then."""
    branch = helper.make_graph(
        [helper.make_node("Relu", ["p"], ["r"])], "branch", [], [helper.make_tensor_value_info("r", 1, None)]
    )
    nodes = [
        conv("x", "p", "w", "b"),
        add("p", "z", "q"),
        helper.make_node("If", ["on"], ["y"], then_branch=branch, else_branch=branch),
    ]
    model = graph(nodes, ["q", "y"], {"w": SQUARE, "b": (WIDTH,)})
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "on"))
    assert convolutions.rewrite(model) == 0


def test_weights_in_half_precision_stay_so() -> None:
    """They are widened as the graph is loaded, so the pass must look through the cast."""
    cast = helper.make_node("Cast", ["w.half"], ["w"], to=TensorProto.FLOAT)
    model = graph([cast, conv("x", "y", "w", "b")], ["y"], {"w.half": SQUARE, "b": (WIDTH,)})
    (half,) = (tensor for tensor in model.graph.initializer if tensor.name == "w.half")
    half.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float16), "w.half"))
    expected = run(model)
    assert convolutions.rewrite(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Cast", "Conv3x3"]
    np.testing.assert_allclose(run(model)[0], expected[0], rtol=1e-4, atol=1e-4)


def test_the_program_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"convolutions.py: {tmp_path}: " in done.stderr and "Traceback" not in done.stderr
