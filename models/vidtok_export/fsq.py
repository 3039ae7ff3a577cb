"""Finite scalar quantization: a cell's C numbers ⇄ one index; digit 0 is the least significant."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from .graph import Graph


def quantize(g: Graph, z: ir.Value, levels: Sequence[int], axis: int) -> ir.Value:
    """Latent float, four-dimensional with the channels on `axis`, to indices int32 without it."""
    column = partial(_column, g, axis)
    n = np.array(levels, np.float32)
    half = (n - 1) * np.float32(1 + 1e-3) / 2
    offset = np.where(n % 2 == 0, 0.5, 0).astype(np.float32)
    bounded = g.op("Mul", g.op("Tanh", g.op("Add", z, column(np.arctanh(offset / half)))), column(half))
    digit = g.op("Add", g.op("Round", g.op("Sub", bounded, column(offset))), column(n // 2))
    # In float32, which holds every index exactly: integer sums are slow or missing on accelerators.
    index = g.op("ReduceSum", g.op("Mul", digit, column(_places(levels))), g.constant([axis], np.int64), keepdims=0)
    return g.cast(index, ir.DataType.INT32)


def dequantize(g: Graph, tokens: ir.Value, levels: Sequence[int], axis: int) -> ir.Value:
    """Indices int32, three-dimensional, to code float with the channels on `axis`."""
    column = partial(_column, g, axis)
    tokens = g.op("Unsqueeze", tokens, g.constant([axis], np.int64))
    shifted = g.op("Div", tokens, column(_places(levels), np.int32))
    digit = g.cast(g.op("Mod", shifted, column(levels, np.int32)), ir.DataType.FLOAT)
    middle = column(np.array(levels) // 2)
    return g.op("Div", g.op("Sub", digit, middle), middle)


def _places(levels: Sequence[int]) -> np.ndarray:
    return np.cumprod([1, *levels[:-1]])


def _column(g: Graph, axis: int, values: object, dtype: type = np.float32) -> ir.Value:
    """One value a channel."""
    shape = [1] * 4
    shape[axis] = -1
    return g.constant(np.reshape(values, shape), dtype)
