"""Puts 3×3 convolutions into the plugin's own operators (`operators.CONVOLUTIONS`), with what is added to them.

A pass over a finished graph, as sums and residuals are made in other places than the convolutions, and as it serves
graphs of other tools: `models/convolutions.py` rewrites folders with it.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import NodeProto, TensorProto

from . import operators
from .operators import CONVOLUTIONS, MAX_TAPS

# The fewest that the plugin's kernel was measured with.
MIN_CHANNELS = 16


@dataclass
class _Sum:
    """Convolutions whose results are added, and the residual."""

    taps: list[NodeProto]
    output: str
    residual: str | None = None
    added: list[NodeProto] = field(default_factory=list)  # the nodes that add


def rewrite_file(path: Path) -> int:
    """Rewrite the graph in a file; returns how many operators it has got. Weights in other files stay there."""
    model = onnx.load(path, load_external_data=False)
    count = rewrite(model)
    if count:
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(model.SerializeToString())
        onnx.checker.check_model(str(partial))  # by its path, as weights may be in other files
        os.replace(partial, path)
    return count


def rewrite(model: onnx.ModelProto) -> int:
    """Rewrite a graph; returns how many operators it has got."""
    graph = model.graph
    finder = _Finder(graph)
    sums: list[_Sum] = []
    taken: set[str] = set()  # outputs of nodes that are in a sum
    for node in graph.node:
        if finder.fits(node) and len(node.input) == 3 and node.output[0] not in taken:
            found = finder.sum_of(node, taken)
            taken.update(part.output[0] for part in (*found.taps, *found.added))
            sums.append(found)
    _replace(graph, sums)
    used = {_operator(found).name: _operator(found) for found in sums}
    present = {function.name for function in model.functions if function.domain == operators.DOMAIN}
    model.functions.extend(ir.to_proto(used[name].function) for name in sorted(used.keys() - present))
    if used and operators.DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(operators.DOMAIN, operators.VERSION))
    return len(sums)


def _operator(found: _Sum) -> operators.Operator:
    return CONVOLUTIONS[len(found.taps), found.residual is not None]


def _replace(graph: onnx.GraphProto, sums: list[_Sum]) -> None:
    """Each operator comes in place of the sum's last node, where all its inputs are known."""
    gone = {node.output[0] for found in sums for node in (*found.taps, *found.added)}
    by_output = {found.output: found for found in sums}
    nodes = []
    for node in graph.node:
        found = by_output.get(node.output[0])
        if found:
            inputs = [name for tap in found.taps for name in tap.input[:2]] + [found.taps[0].input[2]]
            inputs += [found.residual] if found.residual else []
            nodes.append(onnx.helper.make_node(_operator(found).name, inputs, [found.output], domain=operators.DOMAIN))
        elif node.output[0] not in gone:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


class _Finder:
    """Looks at a graph's nodes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._weights = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        outputs = [value.name for value in graph.output]
        self._uses = Counter([name for node in graph.node for name in node.input] + outputs)
        self._users = {name: node for node in graph.node for name in node.input}
        self._outputs = set(outputs)

    def fits(self, node: NodeProto) -> bool:
        """Whether a node is a 3×3 convolution of float32 with stride 1 and constant weights, and wide enough."""
        if node.op_type != "Conv" or node.domain:
            return False
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        plain = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}
        if attributes.get("pads") != [1] * 4 or any(plain.get(name) != value for name, value in attributes.items()):
            return False
        element, shape = self._weight(node.input[1])
        return element == TensorProto.FLOAT and shape[2:] == [3, 3] and min(shape[:2]) >= MIN_CHANNELS

    def _weight(self, name: str) -> tuple[int, list[int]]:
        """Element type and shape of a constant, which may be kept in half precision; of others, neither."""
        maker = self._makers.get(name)
        if maker is not None and maker.op_type == "Cast":
            return maker.attribute[0].i, self._weights.get(maker.input[0], (0, []))[1]
        return self._weights.get(name, (0, []))

    def sum_of(self, first: NodeProto, taken: set[str]) -> _Sum:
        """The convolution with all that is added to it and nothing else."""
        found = _Sum([first], first.output[0])
        while self._uses[found.output] == 1 and found.output not in self._outputs and not found.residual:
            user = self._users[found.output]
            if user.op_type != "Add" or user.domain or user.output[0] in taken:
                break
            (other,) = (name for name in user.input if name != found.output)
            if other in self._weights:  # perhaps not of the picture's shape
                break
            maker = self._makers.get(other)
            if maker is not None and self._is_tap(maker, first, found) and other not in taken:
                found.taps.append(maker)
            else:
                found.residual = other
            found.added.append(user)
            found.output = user.output[0]
        return found

    def _is_tap(self, node: NodeProto, first: NodeProto, found: _Sum) -> bool:
        """Whether a node is one more convolution of the sum, which no one else uses and which has no bias."""
        return (
            self.fits(node)
            and len(node.input) == 2
            and self._uses[node.output[0]] == 1
            and self._weight(node.input[1]) == self._weight(first.input[1])
            and len(found.taps) < MAX_TAPS
        )
