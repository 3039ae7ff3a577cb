"""Puts a byte stream together."""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import BinaryIO

from .errors import StreamError
from .format import MAX_JSON_BYTES, TokenFormat
from .packet import Packet
from .reader import MAGIC, VERSION
from .stream import Stream


def write(target: str | os.PathLike[str] | BinaryIO, content: Stream | Iterable[Packet]) -> None:
    """Writes a stream, or packets one by one, to a path or an open binary file.

    Packets may come from `packets()` of another file, also of several.
    """
    content = content.packets() if isinstance(content, Stream) else content
    opened = open(target, "wb") if isinstance(target, str | os.PathLike) else nullcontext(target)
    with opened as file:
        for piece in _encode(content):
            file.write(piece)


def _encode(packets: Iterable[Packet]) -> Iterator[bytes]:
    format: TokenFormat | None = None
    header = b""
    for packet in packets:
        if packet.segment_start:
            if packet.format != format:
                format = packet.format
                header = _encode_header(format)
            yield header
        elif packet.format != format:
            raise StreamError("a packet of a new format, and every stream's first, has to start a segment")
        elif packet.skipped_bytes:
            raise StreamError(
                f"latent frames may be missing in front of the packet read at byte {packet.position}: it is of no use"
            )
        yield packet.encode(int.from_bytes(header[-4:], "little"))


def _encode_header(format: TokenFormat) -> bytes:
    json = format.to_json()
    if len(json) > MAX_JSON_BYTES:
        raise StreamError(f"{len(json)} bytes of JSON, allowed are {MAX_JSON_BYTES}; shorten the model's name")
    header = MAGIC + bytes([VERSION]) + len(json).to_bytes(4, "little") + json
    return header + zlib.crc32(header).to_bytes(4, "little")
