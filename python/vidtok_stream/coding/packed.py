"""The coding `packed`: indices of as few bits as the codebook needs, one after the other, least significant bit first;
floats as values of the format's token type.

Eight indices of b bits take b whole bytes, so in every such group the k-th index lies at the same place: NumPy
takes the k-th indices of all groups at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..tokens import FLOATS, check_floats, check_indices

if TYPE_CHECKING:
    from ..format import TokenFormat
    from ..tokens import Tokens

# Indices that take whole bytes together.
GROUP = 8
# Payloads unpacked at once, so that they and the numbers stay in a core's cache.
BLOCK_BYTES = 1 << 17


def payload_bytes(format: TokenFormat, latent_frames: int) -> int:
    """Bytes that the tokens of that many latent frames take."""
    values: int = latent_frames * prod(format.latent_shape)
    if format.levels is None:
        return values * FLOATS[format.token_type].itemsize
    return packed_bytes(values, bits_for(format.codebook_size))


def decode(payloads: Sequence[bytes], format: TokenFormat, latent_frames: int) -> Tokens:
    """The tokens of some packets of `latent_frames` latent frames each, one packet after the other."""
    shape = (len(payloads) * latent_frames, *format.latent_shape)
    if format.levels is None:
        # What NumPy makes of bytes could not be written to.
        values: Tokens = np.frombuffer(bytearray().join(payloads), FLOATS[format.token_type])
        check_floats(values)
    else:
        cells = latent_frames * format.grid_height * format.grid_width
        bits = bits_for(format.codebook_size)
        values = unpack(payloads, bits, cells)
        if format.codebook_size != 1 << bits:
            check_indices(values, format)
    return values.astype(format.dtype, copy=False).reshape(shape)


def encode(tokens: Tokens, format: TokenFormat) -> bytes:
    """The payload of a packet with `tokens`. KL values beyond float16 become its largest."""
    if format.levels is not None:
        return pack(tokens.astype(np.uint32).reshape(-1), bits_for(format.codebook_size))
    stored = FLOATS[format.token_type]
    limit = np.finfo(stored).max
    return np.clip(tokens, -limit, limit).astype(stored).tobytes()


def bits_for(size: int) -> int:
    """Bits that tell `size` different values apart."""
    return (size - 1).bit_length()


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` numbers take; the last byte is filled up."""
    return (count * bits + 7) // 8


def unpack(payloads: Sequence[bytes], bits: int, count: int) -> NDArray[np.uint16] | NDArray[np.uint32]:
    """The `count` numbers of each of `payloads`, as `[payload, count]`: uint16 where they fit, else uint32.

    Each payload has `packed_bytes(count, bits)` bytes.
    """
    rows, groups, length = len(payloads), -(-count // GROUP), packed_bytes(count, bits)
    packed = np.frombuffer(b"".join(payloads), np.uint8).reshape(rows, length)
    numbers = np.empty((rows, groups, GROUP), np.uint16 if bits <= 16 else np.uint32)
    size = max(1, BLOCK_BYTES // max(1, length))
    # A number of up to 24 bits and the up to 7 bits before it fit a window of four bytes; the last one needs room.
    data = np.zeros((min(size, rows), groups * bits + 4), np.uint8)
    for begin in range(0, rows, size):
        block = packed[begin : begin + size]
        data[: len(block), :length] = block
        for k in range(GROUP):
            at, shift = divmod(k * bits, 8)
            windows = np.ndarray((len(block), groups), "<u4", data, at, (data.strides[0], bits))
            # What is above the number is cut off here or below.
            numbers[begin : begin + size, :, k] = windows >> np.uint32(shift)
    numbers &= numbers.dtype.type((1 << bits) - 1)
    return numbers.reshape(rows, groups * GROUP)[:, :count]


def pack(numbers: NDArray[np.uint32], bits: int) -> bytes:
    """Packs a row of `numbers`, each below 2^`bits`."""
    groups = -(-numbers.size // GROUP)
    padded = np.zeros((groups, GROUP), np.uint32)
    padded.reshape(-1)[: numbers.size] = numbers
    data = np.zeros((groups, bits), np.uint8)
    for k in range(GROUP):
        at, shift = divmod(k * bits, 8)
        shifted = padded[:, k] << np.uint32(shift)
        for byte in range((shift + bits + 7) // 8):
            data[:, at + byte] |= (shifted >> np.uint32(8 * byte)).astype(np.uint8)
    return data.tobytes()[: packed_bytes(numbers.size, bits)]
