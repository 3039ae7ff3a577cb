"""Changed `.vidtok` files through the Python reader: it gives packets and tells of damage, or raises its own error."""

import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import mutate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import Stream, StreamError, packets, read, write  # noqa: E402

CORPUS = ROOT / "fuzz" / "corpus"
MAGIC, SYNC = b"\x89VIDTOK", b"\x89VTP"


def files(target: str, front: int) -> list[bytes]:
    """A fuzz target's inputs, without the bytes in front that steer the target."""
    return [path.read_bytes()[front:] for path in sorted((CORPUS / target).iterdir())]


def repaired(data: bytes) -> bytes:
    """`data` with right checksums, as long as headers and packets follow each other."""
    out, at, stream = bytearray(data), 0, bytes(4)

    def number(place: int, length: int) -> int:
        return int.from_bytes(out[at + place : at + place + length], "little")

    def put(place: int, checked: bytes | bytearray) -> None:
        out[at + place : at + place + 4] = zlib.crc32(checked).to_bytes(4, "little")

    while True:
        if out.startswith(MAGIC, at):
            length = 12 + number(8, 4) + 4
            if at + length > len(out):
                break
            put(length - 4, out[at : at + length - 4])
            stream = bytes(out[at + length - 4 : at + length])
        elif out.startswith(SYNC, at) and len(out) >= at + 48:
            header = number(4, 2)
            offsets = (number(16, 4) - 1) * 8 if number(6, 1) & 4 else 0
            length = header + offsets + number(20, 4)
            if header < 48 or offsets < 0 or at + length > len(out):
                break
            out[at + 8 : at + 12] = stream
            put(40, out[at + header : at + length])
            out[at + 44 : at + 48] = bytes(4)
            put(44, out[at : at + header])
        else:
            break
        at += length
    return bytes(out)


def check(stream: Stream) -> None:
    """What was read can be written, and read again as the same."""
    again = io.BytesIO()
    write(again, stream)
    again.seek(0)
    assert np.array_equal(read(again).tokens, stream.tokens)


@pytest.mark.parametrize("repair", [False, True])
def test_a_changed_stream_is_read_or_refused(repair: bool) -> None:
    for data in mutate.mutations(files("reader", 1) + files("parser", 3)):
        if repair:
            data = repaired(data)
        try:
            count = sum(packet.latent_frames for packet in packets(io.BytesIO(data)))
        except StreamError as error:
            assert str(error)
            with pytest.raises(StreamError):
                read(io.BytesIO(data))
            continue
        try:
            stream = read(io.BytesIO(data))
        except StreamError:  # formats that do not fit into one array
            continue
        assert len(stream.tokens) <= count
        if len(stream.tokens):
            check(stream)
