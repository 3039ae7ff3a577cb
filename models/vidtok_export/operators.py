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
    """`body` gets a function that adds a standard operator, then the inputs; it returns the outputs."""

    name: str
    inputs: tuple[str, ...]
    body: Callable[..., ir.Value | list[ir.Value]]

    @cached_property
    def function(self) -> ir.Function:
        tape, inputs = Tape(), [ir.val(name) for name in self.inputs]
        results = self.body(lambda kind, *values, **attributes: tape.op(kind, values, attributes), *inputs)
        outputs = results if isinstance(results, list) else [results]
        for i, output in enumerate(outputs):
            output.name = "y" if len(outputs) == 1 else f"y{i}"
        graph = ir.Graph(inputs, outputs, nodes=tape.nodes, opset_imports={"": OPSET}, name=self.name)
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


def _over_time(frames: int) -> Callable[..., list[ir.Value]]:
    """For each frame of the result the convolutions of three frames, of the first with the bias; then its residual."""

    def body(op: Op, *inputs: ir.Value) -> list[ir.Value]:
        x, rest = inputs[: frames + TAPS - 1], inputs[frames + TAPS - 1 :]
        weights, bias, residuals = rest[:TAPS], rest[TAPS], rest[TAPS + 1 :]
        results = []
        for frame in range(frames):
            first, *others = zip(x[frame : frame + TAPS], weights, strict=True)
            parts = [op("Conv", *first, bias), *(op("Conv", *pair) for pair in others), *residuals[frame : frame + 1]]
            results.append(reduce(lambda total, part: op("Add", total, part), parts))
        return results

    return body


def _convolution_over_time(frames: int, residual: bool) -> Operator:
    inputs = [f"x{i}" for i in range(frames + TAPS - 1)] + [f"w{tap}" for tap in range(TAPS)] + ["bias"]
    inputs += [f"residual{i}" for i in range(frames)] if residual else []
    name = f"ConvOverTime{frames}" + ("Add" if residual else "")
    return Operator(name, tuple(inputs), _over_time(frames))


TAPS = 3
# 1×1 convolutions over three frames: from frames `[1, C, H, W]`, two more than results, the oldest first, with weights
# `[O, C, 1, 1]` for the three, `bias` `[O]`, and, where there are any, a residual `[1, O, H, W]` for each result. By
# the frames of the result, and whether there are any.
CONVOLUTIONS_OVER_TIME = {
    (frames, residual): _convolution_over_time(frames, residual) for frames in (2, 4) for residual in (False, True)
}
