"""Finite scalar quantization (FSQ): a cell's C numbers ⇄ one index; digit 0 is the least significant."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from .graph import Graph

WIDENING = np.float32(1 + 1e-3)  # tanh never reaches 1, so its range is made a little wider than the levels


class Constants(NamedTuple):
    """Constants of quantizing and its inverse, one per channel: arrays `[C]`.

    z quantizes to the digit `round(tanh(z + shift) · reach - offset) + middle`; a digit's code is
    `(digit - middle) / middle`; an index is the sum of `digit · place`.
    """

    shift: np.ndarray
    reach: np.ndarray
    offset: np.ndarray
    middle: np.ndarray
    place: np.ndarray  # int64


def constants(levels: Sequence[int]) -> Constants:
    """Computes in float32 step by step, as the reference implementation does, so that rounding ties fall alike."""
    n = np.array(levels, np.float32)
    reach = (n - 1) * WIDENING / 2
    offset = np.where(n % 2 == 0, 0.5, 0).astype(np.float32)
    place = np.cumprod([1, *levels[:-1]], dtype=np.int64)
    return Constants(np.arctanh(offset / reach), reach, offset, n // 2, place)


def quantize(g: Graph, z: ir.Value, levels: Sequence[int], axis: int) -> ir.Value:
    """Turns a float latent of four dimensions, with the channels on `axis`, into int32 indices without that axis."""
    column, of = partial(_column, g, axis), constants(levels)
    bounded = g.op("Mul", g.op("Tanh", g.op("Add", z, column(of.shift))), column(of.reach))
    digit = g.op("Add", g.op("Round", g.op("Sub", bounded, column(of.offset))), column(of.middle))
    # Summed in float32, which holds every index exactly: integer sums are slow or missing on accelerators.
    index = g.op("ReduceSum", g.op("Mul", digit, column(of.place)), g.constant([axis], np.int64), keepdims=0)
    return g.cast(index, ir.DataType.INT32)


def dequantize(g: Graph, tokens: ir.Value, levels: Sequence[int], axis: int) -> ir.Value:
    """Turns int32 indices of three dimensions into float codes with the channels on `axis`."""
    column, of = partial(_column, g, axis), constants(levels)
    tokens = g.op("Unsqueeze", tokens, g.constant([axis], np.int64))
    shifted = g.op("Div", tokens, column(of.place, np.int32))
    digit = g.cast(g.op("Mod", shifted, column(levels, np.int32)), ir.DataType.FLOAT)
    middle = column(of.middle)
    return g.op("Div", g.op("Sub", digit, middle), middle)


def _column(g: Graph, axis: int, values: object, dtype: type = np.float32) -> ir.Value:
    """A constant with one value per channel, for tensors of four dimensions."""
    shape = [1] * 4
    shape[axis] = -1
    return g.constant(np.reshape(values, shape), dtype)
