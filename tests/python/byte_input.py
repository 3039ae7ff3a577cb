"""Encoder graphs that take bytes, as exporters before `vidtok.input` wrote them: the inverse of float_input.py."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from vidtok_export.float_input import MOVES
from vidtok_export.tokenizer import frames_of


def rewrite(path: Path) -> None:
    """Makes the encoder graph in a file take bytes, and say nothing of it."""
    model = onnx.load(path)
    frames = frames_of(model)
    assert frames.type.tensor_type.elem_type == TensorProto.FLOAT
    frames.type.tensor_type.elem_type = TensorProto.UINT8
    moved, nodes = {"frames"}, []
    for node in model.graph.node:
        if node.op_type in MOVES and node.input[0] in moved:
            moved.update(node.output)
        elif node.op_type != "Shape":
            # The first operator that calculates.
            for place, name in enumerate(node.input):
                if name in moved:
                    node.input[place] = f"{name}.float"
                    nodes.append(helper.make_node("Cast", [name], node.input[place : place + 1], to=TensorProto.FLOAT))
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    del properties["vidtok.input"]
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
