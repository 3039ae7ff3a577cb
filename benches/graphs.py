"""Exports the measured tokenizers and counts their operations."""

import math
import sys
import tempfile
from pathlib import Path

import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "python")]

import golden  # noqa: E402
from vidtok_export import build  # noqa: E402
from vidtok_export.onnx_runtime import onnxruntime  # noqa: E402

# The configuration of the published checkpoint of full width; `ch` makes it narrower.
NAME = "vidtok_fsq_causal_488_32768_v1_1"
SEED = 1
EMBEDDED = ROOT / "models" / "vidtok-small-488-32768"
MAX_PART = 64


def export(ch: int, folder: Path, gpu: bool = False) -> None:
    """Write graphs of width `ch` with made-up weights; with `gpu`, also for GPUs in both precisions."""
    configuration = golden.configuration(NAME, ch)
    weights = golden.weights(configuration, SEED)
    forms = [("fp32", "gpu"), ("fp16", "gpu")] if gpu else []
    for precision, target in [("fp32", "cpu"), *forms]:
        build.export(configuration, weights, folder, folder.name, "MIT", precision=precision, target=target)


def gflop(path: Path, size: int) -> float:
    """GFLOP per step of a graph for CPUs, in its convolutions and matrix products. An addition counts as one."""
    return sum(operations(model_of_size(path, size))) / 1e9


def model_of_size(path: Path, size: int) -> onnx.ModelProto:
    """The graph for pictures of `size`, with all shapes: ONNX Runtime folds the shapes that the graph computes."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = f"{folder}/graph.onnx"
        options.add_free_dimension_override_by_name("N", 1)
        for part in (part for part in range(1, MAX_PART + 1) if size % part == 0):
            for axis in "HW":
                name = axis if part == 1 else f"{axis}/{part}"
                options.add_free_dimension_override_by_name(name, size // part)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        model = onnx.load(options.optimized_model_filepath)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def operations(model: onnx.ModelProto) -> list[int]:
    """The operations of each convolution and matrix product."""
    graph = model.graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[value.name] = [dim.dim_value for dim in dims]
    return [_operations(node, shapes) for node in graph.node if node.op_type in ("Conv", "MatMul", "Gemm")]


def _operations(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    unknown = [name for name in (*node.input[:2], node.output[0]) if name not in shapes]
    if unknown:
        raise ValueError(f"{node.op_type} {node.name}: the shape of {unknown[0]} is not known")
    left, right, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":
        # [out, in / groups, height, width]
        return 2 * math.prod(out) * math.prod(right[1:])
    if left[-2:-1] == [1]:
        # One row: a sum, such as the mean of a normalization, written as a product. Sums do not count.
        return 0
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return 2 * math.prod(out) * left[-2 if transposed else -1]
