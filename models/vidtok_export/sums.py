"""Finds convolutions whose results are added in a finished graph."""

from collections import Counter
from dataclasses import dataclass, field

import onnx
from onnx import NodeProto, TensorProto

from .operators import MAX_TAPS

# The fewest that the plugin's kernels were measured with.
MIN_CHANNELS = 16


@dataclass
class Sum:
    """Convolutions whose results are added, the first of which has a bias; and the residual."""

    taps: list[NodeProto]
    output: str
    residual: str | None = None
    added: list[NodeProto] = field(default_factory=list)  # the nodes that add

    @property
    def inputs(self) -> list[str]:
        return [tap.input[0] for tap in self.taps]

    @property
    def weights(self) -> list[str]:
        return [tap.input[1] for tap in self.taps]

    @property
    def bias(self) -> str:
        return self.taps[0].input[2]


def find(graph: onnx.GraphProto, size: int, taken: set[str]) -> list[Sum]:
    """All sums of convolutions with kernels of `size` × `size`, stride 1 and zeros around the picture.

    `taken`: outputs of nodes that are in a sum. It gets those that are found.
    """
    finder = _Finder(graph, size)
    sums: list[Sum] = []
    for node in graph.node:
        if finder.fits(node) and len(node.input) == 3 and node.output[0] not in taken:
            found = finder.sum_of(node, taken)
            taken.update(part.output[0] for part in (*found.taps, *found.added))
            sums.append(found)
    return sums


class _Finder:
    """Looks at a graph's nodes, for kernels of `size` × `size`."""

    def __init__(self, graph: onnx.GraphProto, size: int) -> None:
        self._size = size
        self._weights = {tensor.name: (tensor.data_type, list(tensor.dims)) for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        outputs = [value.name for value in graph.output]
        self._uses = Counter([name for node in graph.node for name in node.input] + outputs)
        self._users = {name: node for node in graph.node for name in node.input}
        self._outputs = set(outputs)

    def fits(self, node: NodeProto) -> bool:
        """Whether a node is such a convolution of float32 with stride 1 and constant weights, and wide enough."""
        if node.op_type != "Conv" or node.domain:
            return False
        attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
        kernel, pads = [self._size] * 2, [self._size // 2] * 4
        plain = {"kernel_shape": kernel, "pads": pads, "strides": [1, 1], "dilations": [1, 1], "group": 1}
        given = {"pads": [0] * 4} | attributes
        if any(plain.get(name) != value for name, value in given.items()):
            return False
        element, shape = self._weight(node.input[1])
        return element == TensorProto.FLOAT and shape[2:] == kernel and min(shape[:2]) >= MIN_CHANNELS

    def _weight(self, name: str) -> tuple[int, list[int]]:
        """Element type and shape of a constant, which may be kept in half precision; of others, neither."""
        maker = self._makers.get(name)
        if maker is not None and maker.op_type == "Cast":
            return maker.attribute[0].i, self._weights.get(maker.input[0], (0, []))[1]
        return self._weights.get(name, (0, []))

    def sum_of(self, first: NodeProto, taken: set[str]) -> Sum:
        """The convolution with all that is added to it and nothing else."""
        found = Sum([first], first.output[0])
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

    def _is_tap(self, node: NodeProto, first: NodeProto, found: Sum) -> bool:
        """Whether a node is one more convolution of the sum, which no one else uses and which has no bias."""
        return (
            self.fits(node)
            and len(node.input) == 2
            and self._uses[node.output[0]] == 1
            and self._weight(node.input[1]) == self._weight(first.input[1])
            and len(found.taps) < MAX_TAPS
        )
