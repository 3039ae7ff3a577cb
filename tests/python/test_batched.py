"""The graphs for `--target gpu`, as far as a test without a GPU can tell. test_golden.py compares their results."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from golden import configuration, weights
from stepping import session
from vidtok_export import build
from vidtok_export.onnx_runtime import onnxruntime as ort

ONE_EACH = [
    "vidtok_fsq_causal_488_32768_v1_1",
    "vidtok_kl_causal_288_8chn",
    "vidtok_fsq_noncausal_41616_262144",
    "vidtok_kl_noncausal_488_4chn",
]

FLOAT, FLOAT16, INT32, UINT8 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT32, TensorProto.UINT8
FLOATS = {FLOAT, FLOAT16}
# The operators of opset 18 in these graphs, with the types of their first input (of Where the second) that are in both
# docs/OperatorKernels.md of microsoft/onnxruntime, "Operators implemented by CUDAExecutionProvider", and
# docs/operators.md of onnx/onnx-tensorrt for TensorRT 10.0. In the latter, bytes are only a graph's inputs and outputs.
KERNELS = {
    **dict.fromkeys(("Add", "Sub", "Mul", "Clip", "Round", "Sigmoid", "Tanh"), FLOATS),
    **dict.fromkeys(("Conv", "LayerNormalization", "MatMul", "Pad", "ReduceSum", "Resize", "Softmax"), FLOATS),
    **dict.fromkeys(("Concat", "Slice", "Split", "Transpose", "Unsqueeze"), FLOATS | {INT32}),
    "Cast": FLOATS | {INT32, UINT8},
    "Reshape": FLOATS | {INT32, TensorProto.BOOL},
    "Div": FLOATS | {INT32},
    "Mod": {INT32},
    "Where": FLOATS,
}


@pytest.fixture(scope="module", params=ONE_EACH)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Narrow tokenizers in several variants."""
    small = configuration(request.param, ch=4)
    folder = tmp_path_factory.mktemp(request.param)
    tensors = weights(small, seed=3)
    for target, precision in (("cpu", "fp32"), ("gpu", "fp32"), ("gpu", "fp16")):
        build.export(small, tensors, folder, request.param, "MIT", precision=precision, target=target)
    return folder


def variants(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    said = json.loads((folder / "tokenizer.json").read_text())
    return {(v["target"], v["precision"]): v for v in said["variants"]}


def gpu_graphs(folder: Path, precision: str) -> list[onnx.ModelProto]:
    variant = variants(folder)["gpu", precision]
    return [onnx.load(folder / variant[role]) for role in ("encoder", "decoder")]


def types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return values | {weight.name: weight.data_type for weight in graph.initializer}


def test_one_tokenizer(folder: Path) -> None:
    files = variants(folder)
    assert files["gpu", "fp32"]["encoder"] == "encoder.gpu.onnx"
    assert files["gpu", "fp16"]["decoder"] == "decoder.gpu.fp16.onnx"
    cpu, gpu = (
        {p.key: p.value for p in onnx.load(folder / files[target, "fp32"]["decoder"]).metadata_props}
        for target in ("cpu", "gpu")
    )
    assert {key for key in cpu if cpu[key] != gpu[key]} == {"vidtok.target", "vidtok.attention-parts"}
    assert (gpu["vidtok.target"], gpu["vidtok.attention-parts"]) == ("gpu", "4")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_inputs_and_outputs(folder: Path, precision: str) -> None:
    """As for `--target cpu` with N in front, except for the states."""
    for role, model in zip(("encoder", "decoder"), gpu_graphs(folder, precision), strict=True):
        cpu = onnx.load(folder / f"{role}.onnx").graph
        for ours, theirs in ((model.graph.input, cpu.input), (model.graph.output, cpu.output)):
            assert plain(ours) == plain(theirs)
            assert {shape(v)[0] for v in ours} == {"N"}
        states = {v.name: v for v in model.graph.input if v.name.startswith("state.")}
        following = {v.name: v for v in model.graph.output if v.name.startswith("state.")}
        assert set(following) == {f"{name}.next" for name in states}
        for name, value in states.items():
            assert value.type.SerializeToString() == following[f"{name}.next"].type.SerializeToString()
            assert value.type.tensor_type.elem_type == (FLOAT16 if precision == "fp16" else FLOAT)
            _, frames, height, width, channels = shape(value)
            assert isinstance(frames, int) and isinstance(channels, int)
            assert re.fullmatch(r"H(/\d+)?", height) and width == height.replace("H", "W")
        assert elements(states.values()) == elements(v for v in cpu.input if v.name.startswith("state."))


def plain(values: Iterable[onnx.ValueInfoProto]) -> dict[str, tuple[int, list[int | str]]]:
    """The type and the shape without N of each value that is not a state."""
    return {v.name: (v.type.tensor_type.elem_type, shape(v)[1:]) for v in values if not v.name.startswith("state.")}


def shape(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def elements(states: Iterable[onnx.ValueInfoProto]) -> float:
    """How many elements the states have per pixel, for one stream."""
    return sum(float(np.prod([size(d) for d in shape(state)])) for state in states)


def size(dimension: int | str) -> float:
    return dimension if isinstance(dimension, int) else 1 / int(dimension.partition("/")[2] or 1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_operators_that_cuda_and_tensorrt_have(folder: Path, precision: str) -> None:
    """So that no step leaves the device, and CUDA can capture it as a graph."""
    for model in gpu_graphs(folder, precision):
        of, fixed = types(model), of_fixed_sizes(model)
        for node in model.graph.node:
            if node.output[0] in fixed:
                continue
            assert node.domain == "" and node.op_type in KERNELS, node.op_type
            kind = of[node.input[1 if node.op_type == "Where" else 0]]
            assert kind in KERNELS[node.op_type], f"{node.op_type} of {TensorProto.DataType.Name(kind)}"
        ends = {v.name for v in (*model.graph.input, *model.graph.output)}
        assert {name for name, kind in of.items() if kind == UINT8} <= ends


def of_fixed_sizes(model: onnx.ModelProto) -> set[str]:
    """Values that depend on shapes only."""
    known = {weight.name for weight in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Shape" or set(node.input) <= known:
            known.update(node.output)
    return known


def test_nothing_is_computed_of_shapes_at_run_time(folder: Path, tmp_path: Path) -> None:
    """With N, H and W fixed, after ONNX Runtime's basic optimizations, which come before providers."""
    for model in gpu_graphs(folder, "fp32"):
        path = tmp_path / "graph.onnx"
        onnx.save(model, path)
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
        session(path, 48, 80, options, streams=3)
        optimized = onnx.load(options.optimized_model_filepath)
        assert "Shape" not in {node.op_type for node in optimized.graph.node}
        of = types(optimized)
        assert TensorProto.INT64 not in {of[name] for node in optimized.graph.node for name in node.output if name}


def test_convolutions_with_channels_last(folder: Path) -> None:
    """The transpositions around a convolution cancel where the runtime convolves with the channels last. Only two
    operators between them need the channels first: the resizing before, and turning channels into frames behind.
    """
    to_first, to_last = [0, 3, 1, 2], [0, 2, 3, 1]
    for model in gpu_graphs(folder, "fp32"):
        made_by = {name: node for node in model.graph.node for name in node.output}
        readers = {name: [n for n in model.graph.node if name in n.input] for name in made_by}
        kinds: Counter[str] = Counter()
        for conv in (node for node in model.graph.node if node.op_type == "Conv"):
            before, (behind,) = made_by[conv.input[0]], readers[conv.output[0]]
            if before.op_type == "Resize":
                kinds["resized"] += 1
                before = made_by[before.input[0]]
            if behind.op_type == "Reshape":
                kinds["of two frames"] += 1
                (behind,) = readers[behind.output[0]]
            assert (permutation(before), permutation(behind)) == (to_first, to_last)
        decoder, linear = model.graph.name == "decoder", "v1_1" in folder.name
        properties = {p.key: p.value for p in model.metadata_props}
        doublings = int(properties["vidtok.time-factor"]).bit_length() - 1 if decoder and not linear else 0
        resizings = int(properties["vidtok.space-factor"]).bit_length() - 1 if decoder else 0
        assert kinds == Counter({"resized": resizings, "of two frames": doublings}) + Counter()


def permutation(node: onnx.NodeProto) -> list[int]:
    assert node.op_type == "Transpose"
    return list(node.attribute[0].ints)


def test_parts_of_attention(folder: Path) -> None:
    """A part has the scores of all the step's frames, so there are as many more parts."""
    for model in gpu_graphs(folder, "fp32"):
        said = {p.key: p.value for p in model.metadata_props}
        frames = int(said["vidtok.window"]) // int(said["vidtok.time-factor"]) or 1
        parts = Counter(node.op_type for node in model.graph.node)["Softmax"]
        assert parts == int(said["vidtok.attention-parts"]) * frames


def test_where_half_precision_is_not(folder: Path) -> None:
    for model in gpu_graphs(folder, "fp16"):
        of = types(model)
        for node in model.graph.node:
            kind = of[node.input[0]]
            if node.op_type in ("Conv", "MatMul", "LayerNormalization"):
                assert kind == FLOAT16
            if node.op_type in ("Softmax", "Tanh", "Round", "Clip"):
                assert kind == FLOAT
            if node.op_type == "LayerNormalization":
                assert {a.name: a.i for a in node.attribute}["stash_type"] == FLOAT  # the type of its statistics
