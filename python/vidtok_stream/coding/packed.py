"""Numbers of a fixed count of bits, one after the other, least significant bit first.

Eight numbers of b bits take b whole bytes, so in every such group the k-th number lies at the same place: NumPy
takes the k-th numbers of all groups at once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_BITS = 24
GROUP = 8


def bits_for(size: int) -> int:
    """Bits that tell `size` different values apart."""
    return (size - 1).bit_length()


def packed_bytes(count: int, bits: int) -> int:
    """Bytes that `count` numbers take; the last byte is filled up."""
    return (count * bits + 7) // 8


def unpack(payloads: Sequence[bytes], bits: int, count: int) -> NDArray[np.uint32]:
    """The `count` numbers of each of `payloads`, as `[payload, count]`. Each has `packed_bytes(count, bits)` bytes."""
    rows, groups, length = len(payloads), -(-count // GROUP), packed_bytes(count, bits)
    # A number of up to 24 bits and the up to 7 bits before it fit a window of four bytes; the last one needs room.
    data = np.zeros((rows, groups * bits + 4), np.uint8)
    data[:, :length] = np.frombuffer(b"".join(payloads), np.uint8).reshape(rows, length)
    numbers = np.empty((rows, groups, GROUP), np.uint32)
    for k in range(GROUP):
        at, shift = divmod(k * bits, 8)
        windows = np.ndarray((rows, groups), "<u4", data, at, (data.strides[0], bits))
        np.right_shift(windows, np.uint32(shift), out=numbers[..., k])
    numbers &= np.uint32((1 << bits) - 1)
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
