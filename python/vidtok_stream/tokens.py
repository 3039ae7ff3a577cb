"""Tokens as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import StreamError

if TYPE_CHECKING:
    from .format import TokenFormat

Tokens = NDArray[Any]

FLOATS: dict[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
"""KL's token types, as payloads have their values."""


def check(tokens: Tokens, format: TokenFormat) -> None:
    """Raises a `StreamError` unless `tokens` are whole latent frames of `format`."""
    if tokens.shape[1:] != format.latent_shape or len(tokens) == 0:
        wanted = ", ".join(map(str, ("t", *format.latent_shape)))
        raise StreamError(f"tokens of shape {list(tokens.shape)}, wanted is [{wanted}]")
    if format.levels is None:
        if not np.issubdtype(tokens.dtype, np.floating):
            raise StreamError(f"tokens of type {tokens.dtype}: KL has floats")
        check_floats(tokens)
    else:
        if not np.issubdtype(tokens.dtype, np.integer):
            raise StreamError(f"tokens of type {tokens.dtype}: FSQ has whole numbers")
        check_indices(tokens, format)


def check_indices(indices: Tokens, format: TokenFormat) -> None:
    """Raises a `StreamError` unless the codebook has all `indices`."""
    if int(indices.max()) >= format.codebook_size or int(indices.min()) < 0:
        raise StreamError(f"an index is not within 0 to {format.codebook_size - 1}")


def check_floats(values: Tokens) -> None:
    """Raises a `StreamError` unless all `values` are finite."""
    if not np.isfinite(values).all():
        raise StreamError("a value is not a finite number")
