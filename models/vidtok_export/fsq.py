"""Finite scalar quantization: a cell's C numbers ⇄ one index; digit 0 is the least significant."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from .graph import Graph


def quantize(g: Graph, z: ir.Value, levels: Sequence[int]) -> ir.Value:
    """Latent float `[1, C, h, w]` to indices int32 `[1, h, w]`."""
    n = np.array(levels, np.float32)
    half = (n - 1) * np.float32(1 + 1e-3) / 2
    offset = np.where(n % 2 == 0, 0.5, 0).astype(np.float32)
    bounded = g.op("Mul", g.op("Tanh", g.op("Add", z, _column(g, np.arctanh(offset / half)))), _column(g, half))
    digit = g.op("Add", g.op("Round", g.op("Sub", bounded, _column(g, offset))), _column(g, n // 2))
    # In float32, which holds every index exactly: integer sums are slow or missing on accelerators.
    index = g.op("ReduceSum", g.op("Mul", digit, _column(g, _places(levels))), g.constant([1], np.int64), keepdims=0)
    return g.cast(index, ir.DataType.INT32)


def dequantize(g: Graph, tokens: ir.Value, levels: Sequence[int]) -> ir.Value:
    """Indices int32 `[1, h, w]` to code float `[1, C, h, w]`."""
    tokens = g.op("Unsqueeze", tokens, g.constant([1], np.int64))
    shifted = g.op("Div", tokens, _column(g, _places(levels), np.int32))
    digit = g.cast(g.op("Mod", shifted, _column(g, levels, np.int32)), ir.DataType.FLOAT)
    middle = _column(g, np.array(levels) // 2)
    return g.op("Div", g.op("Sub", digit, middle), middle)


def _places(levels: Sequence[int]) -> np.ndarray:
    return np.cumprod([1, *levels[:-1]])


def _column(g: Graph, values: object, dtype: type = np.float32) -> ir.Value:
    """One value a channel."""
    return g.constant(np.reshape(values, (1, -1, 1, 1)), dtype)
