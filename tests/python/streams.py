"""What the tests of `vidtok_stream` share: token formats, the example of docs/stream.md, and streams as bytes.

The test has put the package on the path.
"""

import io
import struct
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from vidtok_stream import Packet, Stream, TokenFormat, write

# The format of the example in docs/stream.md: two cells of 15 bits.
FORMAT = TokenFormat(
    model="example",
    digest="0123456789abcdef" * 4,
    levels=(8,) * 5,
    token_type="uint16",
    time_factor=4,
    space_factor=8,
    causal=True,
    width=16,
    height=8,
    framerate=Fraction(30),
)


def written(content: Stream | list[Packet]) -> bytes:
    """The bytes of a stream."""
    write(file := io.BytesIO(), content)
    return file.getvalue()


DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "stream.md").read_text()


def documented(name: str) -> bytes:
    """The bytes of the code block ```` ```hex <name> ```` of docs/stream.md."""
    block = DOCUMENT.split(f"```hex {name}\n")[1].split("```")[0]
    return bytes.fromhex("".join(line.split(maxsplit=1)[1] for line in block.splitlines()))


HEADER, FIRST, SECOND = documented("header"), documented("first packet"), documented("second packet")
END_MARK = documented("end mark")
EXAMPLE = HEADER + FIRST + SECOND + END_MARK
KL_FORMAT = replace(
    FORMAT, levels=None, channels=4, token_type="float16", colorimetry="bt709", pixels="size=crop:bilinear"
)
SYNC = b"\x89VTP"


def raw_header(json: str | bytes, version: int = 1) -> bytes:
    """A stream header with the right checksum around anything."""
    data = json.encode() if isinstance(json, str) else json
    header = b"\x89VIDTOK" + struct.pack("<BI", version, len(data)) + data
    return header + struct.pack("<I", zlib.crc32(header))


def raw_packet(
    header: bytes = HEADER,
    flags: int = 1,
    latent: int = 1,
    real: int = 1,
    pts: int = 0,
    duration: int = 33_333_333,
    extension: bytes = b"",
    offsets: tuple[int, ...] = (),
    payload: bytes = b"\x01\x80\xff\x3f",
) -> bytes:
    """The example's first packet with other fields, and the right checksums for them."""
    body = struct.pack(f"<{len(offsets)}Q", *offsets) + payload
    numbers = (flags, zlib.crc32(header[:-4]), latent, real, len(payload), pts, duration, zlib.crc32(body))
    front = SYNC + struct.pack("<HHIIIIQQI", 48 + len(extension), *numbers)
    crc = zlib.crc32(front + bytes(4) + extension)
    return front + struct.pack("<I", crc) + extension + body


def without_end(content: Stream | list[Packet]) -> bytes:
    """The bytes of a stream without its end mark."""
    data = written(content)
    return data[: data.rindex(b"\x89VIDTOK")]


def small_packets() -> list[Packet]:
    """Six packets in two segments, the last with frame offsets."""
    format = replace(FORMAT, width=64)
    return [
        Packet.of(
            format,
            np.arange(8).reshape(1, 1, 8) * 4000 + i,
            segment_start=i % 3 == 0,
            pts=i * 1000,
            duration=1000,
            offsets=(200, 600, 700) if i == 5 else None,
            end_of_stream=i == 5,
            segment_end=i == 2,
        )
        for i in range(6)
    ]


def facts(packet: Packet) -> tuple[object, ...]:
    """What must never be wrong in a packet."""
    times = (packet.pts, packet.duration, packet.offsets)
    return (
        packet.format,
        packet.tokens.tobytes(),
        packet.real_frames,
        packet.segment_start,
        packet.end_of_stream,
        times,
    )


class Trickle(io.RawIOBase):
    """A file that gives a few bytes at a time."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.data, self.piece = io.BytesIO(data), piece

    def read(self, size: int = -1) -> bytes:
        return self.data.read(min(size, self.piece))


def example_json() -> str:
    return HEADER[12:-4].decode()
