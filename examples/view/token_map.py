"""Colours of tokens, such that cells with similar codes look alike. NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TYPES = {"uint16": "<u2", "uint32": "<u4", "float16": "<f2", "float32": "<f4"}
# Colours of vectors reach so many standard deviations.
REACH = 2.5
# How much of what is known of the vectors' distribution is new with each buffer: more would flicker.
NEW = 0.1
# How far colours are on the way to grey: pure ones outshine the pictures beside them.
MUTED = 0.3
LOST = np.array((235, 64, 52), np.uint8)


class TokenError(Exception):
    """What is wrong with the tokens, for the user."""


@dataclass(frozen=True)
class Tokens:
    """How the caps of raw tokens lay them out."""

    height: int
    width: int
    """Of the grid, in cells."""
    token_type: str
    levels: tuple[int, ...] = ()
    """FSQ only."""
    channels: int = 1
    """KL only."""

    @property
    def cells(self) -> int:
        return self.height * self.width

    def read(self, data: bytes) -> NDArray[np.generic]:
        """The tokens of a buffer, without a copy: `[t, h, w]`, of KL tokenizers `[t, h, w, channels]`."""
        if self.token_type not in TYPES:
            raise TokenError(f"tokens of the unknown type {self.token_type}")
        number = np.dtype(TYPES[self.token_type])
        frame = self.cells * (1 if self.levels else self.channels) * number.itemsize
        if not data or frame < 1 or len(data) % frame:
            raise TokenError(f"{len(data)} bytes are no whole latent frames of {self.width}×{self.height} cells")
        tokens = np.frombuffer(data, number)
        shape = (-1, self.height, self.width)
        return tokens.reshape(shape if self.levels else (*shape, self.channels))


def digits(indices: NDArray[np.generic], levels: Sequence[int]) -> NDArray[np.float32]:
    """The digits of FSQ indices, lowest first, from 0 to 1 each: `[..., len(levels)]`."""
    rest = indices.astype(np.int64)
    found = []
    for level in levels:
        found.append((rest % level) / max(level - 1, 1))
        rest = rest // level
    return np.stack(found, axis=-1).astype(np.float32)


class Spread:
    """Mean and standard deviation of the channels of KL tokens, of those that were lately."""

    def __init__(self) -> None:
        self._mean: NDArray[np.float32] | None = None
        self._square: NDArray[np.float32] | None = None

    def normalised(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[..., channels]`, with numbers from 0 to 1 but for a few."""
        flat = np.nan_to_num(values).reshape(-1, values.shape[-1])
        mean, square = flat.mean(axis=0), (flat**2).mean(axis=0)
        if self._mean is None or self._square is None or self._mean.shape != mean.shape:
            self._mean, self._square = mean, square
        else:
            self._mean += (mean - self._mean) * NEW
            self._square += (square - self._square) * NEW
        deviation = np.sqrt(np.maximum(self._square - self._mean**2, 1e-6))
        return (values - self._mean) / (2 * REACH * deviation) + 0.5


def colours(tokens: NDArray[np.generic], layout: Tokens, spread: Spread) -> NDArray[np.uint8]:
    """Red, green and blue of each cell: `[t, h, w, 3]`. An index's last three digits, or the first three channels.

    Of the built-in tokenizer's digits, the last three change least from one latent frame to the next.
    """
    if layout.levels:
        values = digits(tokens, layout.levels)[..., -3:]
    else:
        # Float16 would overflow.
        values = spread.normalised(np.clip(tokens[..., :3].astype(np.float32), -1e4, 1e4))
    # Of fewer than three, the last one again.
    chosen = np.clip(np.nan_to_num(values[..., np.minimum(np.arange(3), values.shape[-1] - 1)]), 0, 1)
    muted = chosen + (chosen.mean(axis=-1, keepdims=True) - chosen) * MUTED
    return (muted * 255 + 0.5).astype(np.uint8)


def mark_lost(picture: NDArray[np.uint8], runs: Sequence[tuple[int, int]]) -> None:
    """Tints, in `[t, h, w, 3]`, runs of cells (the first one, and how many) that did not come."""
    flat = picture.reshape(-1, 3)
    for first, count in runs:
        part = flat[first : first + count]
        part[:] = (part // 3 + LOST // 3 * 2).astype(np.uint8)
