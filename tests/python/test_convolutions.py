"""The pass that puts 3×3 convolutions into the plugin's operators (`models/vidtok_export/convolutions.py`)."""

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
