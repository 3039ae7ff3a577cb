"""Rewrites an encoder graph that takes bytes so that it takes floats (`vidtok.input`, docs/graphs.md).

Exports were made so before there were both. All that such a graph does with bytes is to move them and to cast them to
float32; so floats of whole numbers give the same values behind the casts, and from there on nothing changes.
"""

import os
from pathlib import Path

import onnx
from onnx import TensorProto

from .tokenizer import INPUTS, frames_of

# Operators that move values and do not calculate with them. Concat's inputs are all values, the others' the first.
MOVES = ("Concat", "Expand", "Flatten", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")


def rewrite(path: Path) -> bool:
    """Rewrite the encoder graph in a file, unless it takes floats already; returns whether it did.

    Raises ValueError for a graph that calculates with bytes.
    """
    model = onnx.load(path, load_external_data=False)
    if frames_of(model).type.tensor_type.elem_type == TensorProto.FLOAT:
        return False
    take_floats(model)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(partial))  # by its path, as weights may be in other files
    os.replace(partial, path)
    return True


def take_floats(encoder: onnx.ModelProto) -> None:
    """Rewrite an encoder that takes bytes. Raises ValueError where it calculates with them."""
    graph = encoder.graph
    frames, outputs = frames_of(encoder), {value.name for value in graph.output}
    moved, cast = {frames.name}, {}
    # Nodes stand behind those whose outputs they read.
    for node in list(graph.node):
        values = node.input if node.op_type == "Concat" else node.input[:1]
        if moved.isdisjoint(node.input) or node.op_type == "Shape":
            node.input[:] = [cast.get(name, name) for name in node.input]
        elif node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT and node.output[0] not in outputs:
            cast[node.output[0]] = node.input[0]
            graph.node.remove(node)
        elif node.op_type in MOVES and moved.issuperset(values) and moved.isdisjoint(node.input[len(values) :]):
            moved.update(node.output)
        else:
            raise ValueError(f"its operator {node.op_type} calculates with bytes: export the tokenizer again")
    frames.type.tensor_type.elem_type = TensorProto.FLOAT
    for value in graph.value_info:
        if value.name in moved:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    metadata = {entry.key: entry.value for entry in encoder.metadata_props}
    onnx.helper.set_model_props(encoder, metadata | {"vidtok.input": INPUTS[TensorProto.FLOAT]})
