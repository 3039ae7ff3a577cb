"""Tokens as arrays, and as the payload of packets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coding import packed
from .errors import StreamError
from .format import FLOATS, TokenFormat

Tokens = NDArray[Any]


def decode(payloads: Sequence[bytes], format: TokenFormat, latent_frames: int) -> Tokens:
    """The tokens of some packets of `latent_frames` latent frames each, one packet after the other."""
    shape = (len(payloads) * latent_frames, *format.latent_shape)
    if format.levels is None:
        values: Tokens = np.frombuffer(b"".join(payloads), FLOATS[format.token_type])
        _check_floats(values)
    else:
        cells = latent_frames * format.grid_height * format.grid_width
        values = packed.unpack(payloads, packed.bits_for(format.codebook_size), cells)
        _check_indices(values, format)
    return values.astype(format.dtype).reshape(shape)


def encode(tokens: Tokens, format: TokenFormat) -> bytes:
    """The payload of a packet with `tokens`. KL values beyond float16 become its largest."""
    if tokens.shape[1:] != format.latent_shape or len(tokens) == 0:
        wanted = ", ".join(map(str, ("t", *format.latent_shape)))
        raise StreamError(f"tokens of shape {list(tokens.shape)}, wanted is [{wanted}]")
    if format.levels is not None:
        if not np.issubdtype(tokens.dtype, np.integer):
            raise StreamError(f"tokens of type {tokens.dtype}: FSQ has whole numbers")
        _check_indices(tokens, format)
        return packed.pack(tokens.astype(np.uint32).reshape(-1), packed.bits_for(format.codebook_size))
    if not np.issubdtype(tokens.dtype, np.floating):
        raise StreamError(f"tokens of type {tokens.dtype}: KL has floats")
    _check_floats(tokens)
    stored = FLOATS[format.token_type]
    limit = np.finfo(stored).max
    return np.clip(tokens, -limit, limit).astype(stored).tobytes()


def _check_indices(indices: Tokens, format: TokenFormat) -> None:
    if int(indices.max()) >= format.codebook_size or int(indices.min()) < 0:
        raise StreamError(f"an index is not within 0 to {format.codebook_size - 1}")


def _check_floats(values: Tokens) -> None:
    if not np.isfinite(values).all():
        raise StreamError("a value is not a finite number")
