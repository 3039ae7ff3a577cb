"""Operators of the domain `vidtok`: ONNX functions, made of standard operators (docs/graphs.md).

A runtime with a kernel of that name runs the kernel; the plugin has kernels for the CPU (`src/runtime/operators`). Any
other runtime inlines the function and runs its standard operators.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce

import onnx_ir as ir
from onnx_ir.tape import Tape

DOMAIN = "vidtok"
VERSION = 1
OPSET = 18  # of the standard operators

Op = Callable[..., ir.Value]


@dataclass(frozen=True)
class Operator:
    """`body` gets a function that adds a standard operator, then the inputs; it returns the output."""

    name: str
    inputs: tuple[str, ...]
    body: Callable[..., ir.Value]

    @cached_property
    def function(self) -> ir.Function:
        tape, inputs = Tape(), [ir.val(name) for name in self.inputs]
        output = self.body(lambda kind, *values, **attributes: tape.op(kind, values, attributes), *inputs)
        output.name = "y"
        graph = ir.Graph(inputs, [output], nodes=tape.nodes, opset_imports={"": OPSET}, name=self.name)
        return ir.Function(DOMAIN, self.name, graph=graph, attributes=[])


def _norm(op: Op, x: ir.Value, scale: ir.Value, shift: ir.Value, row: ir.Value, epsilon: ir.Value) -> ir.Value:
    """Takes means by MatMul, the fastest way on a CPU with standard operators."""
    flat = op("Flatten", x, axis=2)
    d = op("Sub", flat, op("MatMul", row, flat))
    variance = op("MatMul", row, op("Mul", d, d))
    deviation = op("Sqrt", op("Add", variance, epsilon))
    y = op("Add", op("Mul", op("Div", d, deviation), scale), shift)
    return op("Reshape", y, op("Shape", x))


def _norm_silu(op: Op, *inputs: ir.Value) -> ir.Value:
    y = _norm(op, *inputs)
    return op("Mul", y, op("Sigmoid", y))


_NORM_INPUTS = ("x", "scale", "shift", "row", "epsilon")
# LayerNorm over the channels of `x` `[1, C, H, W]`, and SiLU of it. `scale` and `shift` are `[C, 1]`; `row` is
# `[1, C]`, with 1/C everywhere.
NORM = Operator("Norm", _NORM_INPUTS, _norm)
NORM_SILU = Operator("NormSilu", _NORM_INPUTS, _norm_silu)
# `fresh` where `first` `[1]` is true, else `state`. `fresh` has the shape of `state`, or is one number.
CARRIED = Operator("Carried", ("first", "fresh", "state"), lambda op, *inputs: op("Where", *inputs))


def _sum_of_convolutions(taps: int) -> Callable[..., ir.Value]:
    """The convolution of each tap, with zeros around the picture; of the first with the bias. Then the residual."""

    def body(op: Op, *inputs: ir.Value) -> ir.Value:
        pairs, (bias, *residual) = inputs[: 2 * taps], inputs[2 * taps :]
        parts = [
            op("Conv", *pair, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
            for pair in ((pairs[0], pairs[1], bias), *zip(pairs[2::2], pairs[3::2], strict=True))
        ]
        return reduce(lambda total, part: op("Add", total, part), [*parts, *residual])

    return body


def _convolution(taps: int, residual: bool) -> Operator:
    pairs = [name for tap in range(taps) for name in (f"x{tap}", f"w{tap}")]
    inputs = (*pairs, "bias", *(["residual"] if residual else []))
    name = "Conv3x3" + (f"Of{taps}" if taps > 1 else "") + ("Add" if residual else "")
    return Operator(name, inputs, _sum_of_convolutions(taps))


MAX_TAPS = 3
# The sum of 3×3 convolutions of stride 1, one for each of up to three pictures `[1, C, H, W]`, with weights
# `[O, C, 3, 3]`, `bias` `[O]`, and, where there is one, a residual `[1, O, H, W]`. By taps, and whether there is one.
CONVOLUTIONS = {(taps, residual): _convolution(taps, residual) for taps in (1, 2, 3) for residual in (False, True)}
