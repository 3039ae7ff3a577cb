"""Builds ONNX graphs: a thin layer over onnx-ir, with one method per operation of the networks."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.tape import Tape

from . import operators
from .operators import OPSET, Operator

IR_VERSION = 8  # the oldest that has this opset, so that older runtimes read the file

Shape = Sequence[int | str]


def dimension(axis: str, scale: int) -> str:
    """The symbolic dimension for `H` or `W` of the padded picture, divided by `scale`."""
    return axis if scale == 1 else f"{axis}/{scale}"


class Graph:
    """Collects nodes, inputs and outputs; values are onnx-ir's.

    `dtype` is the type of convolutions, matrix products, states and values between layers. Where it is float16,
    operations that need float32 take their inputs through `full` and give their results through `working`.
    """

    def __init__(self, name: str, dtype: ir.DataType = ir.DataType.FLOAT) -> None:
        self.name = name
        self.dtype = dtype
        self.inputs: list[ir.Value] = []
        self.outputs: list[ir.Value] = []
        self._tape = Tape()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], ir.Value] = {}
        self._custom_operators: dict[str, Operator] = {}

    # Inputs, outputs, constants

    def input(self, name: str, dtype: ir.DataType, shape: Shape) -> ir.Value:
        self.inputs.append(ir.val(name, dtype, shape))
        return self.inputs[-1]

    def output(self, value: ir.Value, name: str, dtype: ir.DataType, shape: Shape) -> None:
        if value.is_graph_input() or value.name in {o.name for o in self.outputs}:
            value = self.op("Identity", value)  # a value can be an output once only, under one name
        value.name, value.dtype, value.shape = name, dtype, ir.Shape(shape)
        self.outputs.append(value)

    def weight(self, array: np.ndarray, name: str) -> ir.Value:
        return self._tape.initializer(ir.tensor(np.ascontiguousarray(array), name=name))

    def kernel(self, array: np.ndarray, name: str) -> ir.Value:
        """A convolution's weight, in the graph's type. Raises ValueError where that type cannot hold it."""
        with np.errstate(over="ignore"):
            array = array.astype(self.dtype.numpy())
        if not np.isfinite(array).all():
            raise ValueError(f"{self.name}.{name}: holds numbers that {array.dtype} cannot; export it as fp32")
        return self.weight(array, name)

    def constant(self, value: object, dtype: type | np.dtype = np.float32) -> ir.Value:
        """A small constant. Equal constants are stored once."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.weight(array, f"constant_{len(self._constants)}")
        return self._constants[key]

    def model(self) -> onnx.ModelProto:
        graph = ir.Graph(
            self.inputs,
            self.outputs,
            nodes=self._tape.nodes,
            initializers=self._tape.initializers,
            opset_imports={"": OPSET} | ({operators.DOMAIN: operators.VERSION} if self._custom_operators else {}),
            name=self.name,
        )
        functions = [operator.function for operator in self._custom_operators.values()]
        return ir.to_proto(ir.Model(graph, ir_version=IR_VERSION, producer_name="gst-vidtok", functions=functions))

    # Operators

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: object) -> ir.Value:
        return self._tape.op(kind, inputs, attributes)

    def annotate(self, value: ir.Value, dtype: ir.DataType, shape: Shape) -> ir.Value:
        """Records a value's type and shape, where a runtime cannot infer them: that half of `H` is `H/2`.

        The plugin's kernels for custom operators need to know the shapes of their inputs.
        """
        value.dtype, value.shape = dtype, ir.Shape(shape)
        return value

    def custom_op(self, operator: Operator, *inputs: ir.Value) -> ir.Value:
        """An operator of the domain `vidtok`; the model then carries its function."""
        self._custom_operators[operator.name] = operator
        return self._tape.op(operator.name, inputs, domain=operators.DOMAIN)

    def split(self, x: ir.Value, count: int, axis: int) -> list[ir.Value]:
        if count == 1:
            return [x]
        return list(self._tape.op_multi_out("Split", [x], {"axis": axis, "num_outputs": count}, num_outputs=count))

    def cast(self, x: ir.Value, dtype: ir.DataType) -> ir.Value:
        return self.op("Cast", x, to=dtype.value)

    def full(self, x: ir.Value) -> ir.Value:
        """Turns a value between layers into float32."""
        return x if self.dtype == ir.DataType.FLOAT else self.cast(x, ir.DataType.FLOAT)

    def working(self, x: ir.Value) -> ir.Value:
        """Turns a float32 value into one between layers."""
        return x if self.dtype == ir.DataType.FLOAT else self.cast(x, self.dtype)

    def conv(
        self, x: ir.Value, weight: ir.Value, bias: ir.Value | None, pads: Sequence[int] = (0, 0, 0, 0), stride: int = 1
    ) -> ir.Value:
        """A two-dimensional convolution; pads are top, left, bottom, right."""
        inputs = (x, weight) if bias is None else (x, weight, bias)
        kernel = list(weight.shape)[2:]
        return self.op("Conv", *inputs, kernel_shape=kernel, pads=list(pads), strides=[stride, stride])

    def nearest_twice(self, x: ir.Value) -> ir.Value:
        scales = self.constant([1, 1, 2, 2])
        return self.op(
            "Resize", x, None, scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
        )

    def silu(self, x: ir.Value) -> ir.Value:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def attention(self, query: ir.Value, key: ir.Value, value: ir.Value, parts: int, axis: int) -> ir.Value:
        """Attention of queries and values `[…, positions, C]` and keys `[…, C, positions]`.

        Takes the queries in parts along `axis`, their positions, so that one part's scores are in memory at a time.
        """
        mixed = []
        for part in self.parts(query, parts, axis):
            shares = self.op("Softmax", self.full(self.op("MatMul", part, key)), axis=-1)
            mixed.append(self.op("MatMul", self.working(shares), value))
        return self.op("Concat", *mixed, axis=axis)

    def parts(self, x: ir.Value, count: int, axis: int) -> list[ir.Value]:
        """Consecutive slices of an axis, of sizes as equal as possible; the axis may have a symbolic size."""
        size = self.op("Shape", x, start=axis, end=axis + 1)
        numbers = (self.constant([i], np.int64) for i in range(count + 1))
        bounds = [self.op("Div", self.op("Mul", size, i), self.constant([count], np.int64)) for i in numbers]
        return [self.slice(x, start, end, axis) for start, end in pairwise(bounds)]

    def slice(self, x: ir.Value, start: ir.Value, end: ir.Value, axis: int) -> ir.Value:
        return self.op("Slice", x, start, end, self.constant([axis], np.int64))

    def unstack(self, x: ir.Value, count: int) -> list[ir.Value]:
        """Splits `[1, count, …]` into `count` tensors `[1, …]`."""
        axis = self.constant([1], np.int64)
        return [self.op("Squeeze", part, axis) for part in self.split(x, count, axis=1)]

    def stack(self, frames: Sequence[ir.Value]) -> ir.Value:
        """Stacks tensors `[1, …]` into `[1, len(frames), …]`."""
        axis = self.constant([1], np.int64)
        parts = [self.op("Unsqueeze", frame, axis) for frame in frames]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=1)

    def channels_last(self, x: ir.Value) -> ir.Value:
        return self.op("Transpose", x, perm=[0, 2, 3, 1])

    def channels_first(self, x: ir.Value) -> ir.Value:
        return self.op("Transpose", x, perm=[0, 3, 1, 2])
