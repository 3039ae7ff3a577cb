"""Codings: how the tokens of a packet become its payload, and back.

A new one is a name in `Coding`, a module here, and a case in each function below.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from . import packed

if TYPE_CHECKING:
    from ..format import TokenFormat
    from ..tokens import Tokens


class Coding(Enum):
    """How a payload lays out its tokens, by the name in stream headers."""

    PACKED = "packed"
    """Indices of as few bits as the codebook needs; floats as they are."""


class PayloadLength(NamedTuple):
    """How many bytes a payload has."""

    max: int
    exact: bool = True
    """Whether each payload has that many. Otherwise the tokens decide how many fewer."""

    def allows(self, count: int) -> bool:
        """Whether a payload of `count` bytes is possible."""
        return count == self.max if self.exact else count <= self.max

    def __str__(self) -> str:
        return str(self.max) if self.exact else f"at most {self.max}"


def payload_length(format: TokenFormat, latent_frames: int) -> PayloadLength:
    """The length of a packet's payload of that many latent frames."""
    match format.coding:
        case Coding.PACKED:
            return PayloadLength(packed.payload_bytes(format, latent_frames))


def decode(payloads: Sequence[bytes], format: TokenFormat, latent_frames: int) -> Tokens:
    """The tokens of packets in a row, of `latent_frames` latent frames each: `[t, h, w]` or `[t, h, w, channels]`."""
    match format.coding:
        case Coding.PACKED:
            return packed.decode(payloads, format, latent_frames)


def encode(tokens: Tokens, format: TokenFormat) -> bytes:
    """The payload of a packet with `tokens`, which fit the format."""
    match format.coding:
        case Coding.PACKED:
            return packed.encode(tokens, format)
