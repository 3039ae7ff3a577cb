"""The Python package `vidtok_stream`: docs/stream.md's example, damage, hostile input.

That it and the Rust implementation read each other's files is tested in tests/python_interop.rs.
"""

import io
import os
import re
import struct
import sys
import threading
import tracemalloc
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import (  # noqa: E402
    Packet,
    PacketReader,
    Stream,
    StreamError,
    limits,
    packets,
    read,
    read_joined,
    stream,
    write,
)
from vidtok_stream.coding import PayloadLength, packed  # noqa: E402

from streams import FORMAT as EXAMPLE_FORMAT  # noqa: E402
from streams import written  # noqa: E402

DOCUMENT = (ROOT / "docs" / "stream.md").read_text()


def documented(name: str) -> bytes:
    """The bytes of the code block ```` ```hex <name> ```` of docs/stream.md."""
    block = DOCUMENT.split(f"```hex {name}\n")[1].split("```")[0]
    return bytes.fromhex("".join(line.split(maxsplit=1)[1] for line in block.splitlines()))


HEADER, FIRST, SECOND = documented("header"), documented("first packet"), documented("second packet")
END_MARK = documented("end mark")
EXAMPLE = HEADER + FIRST + SECOND + END_MARK
KL_FORMAT = replace(EXAMPLE_FORMAT, levels=None, channels=4, token_type="float16", colorimetry="bt709")
SYNC = b"\x89VTP"
# Bytes of a file that does not fit into the memory that reading it may take.
LONG = 10 << 20


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
    """The example's first packet with other fields, and the right checksums whatever they say."""
    body = struct.pack(f"<{len(offsets)}Q", *offsets) + payload
    numbers = (flags, zlib.crc32(header[:-4]), latent, real, len(payload), pts, duration, zlib.crc32(body))
    front = SYNC + struct.pack("<HHIIIIQQI", 48 + len(extension), *numbers)
    crc = zlib.crc32(front + bytes(4) + extension)
    return front + struct.pack("<I", crc) + extension + body


def without_end(content: Stream | list[Packet]) -> bytes:
    """The bytes of a stream but for its end mark."""
    data = written(content)
    return data[: data.rindex(b"\x89VIDTOK")]


def small_packets() -> list[Packet]:
    """Six packets in two segments, the last with frame offsets."""
    format = replace(EXAMPLE_FORMAT, width=64)
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
    """What of a packet must never be wrong."""
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


# Reading and writing what is right.


def test_the_documented_example() -> None:
    got = read(EXAMPLE)
    assert got.format == EXAMPLE_FORMAT
    assert (got.format.codebook_size, got.format.grid_width, got.format.grid_height) == (32768, 2, 1)
    assert got.tokens.dtype == np.uint16
    assert got.tokens.tolist() == [[[1, 32767]], [[2, 12345]]]
    assert got.pts.dtype == np.int64
    assert got.pts.tolist() == [0, 33_333_333, 67_333_333, 100_000_000]
    assert got.durations.tolist() == [33_333_333, 34_000_000, 32_666_667, 33_333_333]
    assert got.real_frames.tolist() == [1, 3]
    assert (got.segment_starts.tolist(), got.packet_starts.tolist(), got.gaps.tolist()) == ([0], [0, 1], [])
    assert (got.skipped_bytes, got.cut_bytes, got.ended) == (0, 0, True)
    assert got.stream_id == "00112233445566778899aabbccddeeff"
    assert written(got) == EXAMPLE
    assert written(list(packets(EXAMPLE))) == EXAMPLE


def test_the_table_of_limits_is_what_is_held_to() -> None:
    def number(text: str) -> int:
        """As the table has it: `65,536`, `2²⁶`."""
        power = re.fullmatch("2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
        return (
            2 ** int(power[1].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
            if power
            else int(text.replace(",", ""))
        )

    table = DOCUMENT.split("\n## Limits\n")[1].split("\n## ")[0]
    documented = {name: number(value) for name, value in re.findall(r"^\| `(\w+)` \| (\S+) \|", table, re.MULTILINE)}
    assert documented == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_a_payload_is_as_long_as_its_coding_allows() -> None:
    for exact, allowed, text in ((True, [8], "8"), (False, [0, 1, 7, 8], "at most 8")):
        length = PayloadLength(8, exact)
        assert [count for count in (0, 1, 7, 8, 9) if length.allows(count)] == allowed
        assert str(length) == text
    assert EXAMPLE_FORMAT.payload_length(3) == PayloadLength((3 * 2 * 15 + 7) // 8)


def test_every_kind_of_source(tmp_path: Path) -> None:
    path = tmp_path / "example.vidtok"
    path.write_bytes(EXAMPLE)
    sources = [path, str(path), EXAMPLE, bytearray(EXAMPLE), memoryview(EXAMPLE), io.BytesIO(EXAMPLE)]
    with open(path, "rb", buffering=0) as unbuffered, open(path, "rb") as buffered:
        for source in [*sources, unbuffered, buffered]:
            assert read(source).tokens.tolist() == [[[1, 32767]], [[2, 12345]]]
    for target in (path, str(path)):
        write(target, read(EXAMPLE))
        assert path.read_bytes() == EXAMPLE
    with pytest.raises(TypeError, match="binary mode"), open(path, encoding="latin-1") as text:
        read(text)  # type: ignore[arg-type]
    for nothing in (None, 7, ["clip.vidtok"]):
        with pytest.raises(TypeError, match=f"a path, bytes or an open binary file, not {type(nothing).__name__}"):
            read(nothing)  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 48, 100])
def test_pieces_of_any_size_give_the_same_packets(piece: int) -> None:
    expected = small_packets()
    data = written(expected[:3]) + b"\x89VTP is no packet" + written(expected[3:])
    reader = packets(Trickle(data, piece))
    got = list(reader)
    assert list(map(facts, got)) == list(map(facts, expected))
    assert [packet.skipped_bytes for packet in got] == [0, 0, 0, 17, 0, 0]
    assert (reader.skipped_bytes, reader.cut_bytes) == (17, 0)


def test_a_packet_of_a_pipe_is_there_as_soon_as_its_bytes_are() -> None:
    out, into = os.pipe()
    got: list[list[int]] = []
    with os.fdopen(out, "rb") as source, os.fdopen(into, "wb", buffering=0) as sink:
        reader = packets(source)
        # Were the reader to wait for more than the packet, neither side would go on.
        thread = threading.Thread(
            target=lambda: got.extend(packet.tokens[0, 0].tolist() for packet in reader), daemon=True
        )
        thread.start()
        for count, data in enumerate((HEADER + FIRST, SECOND), start=1):
            sink.write(data)
            for _ in range(1000):
                if len(got) == count:
                    break
                thread.join(0.01)
            assert len(got) == count
        sink.close()
        thread.join(10)
    assert got == [[1, 32767], [2, 12345]]


def test_a_growing_file_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "growing.vidtok"
    path.write_bytes(HEADER + FIRST + SECOND[:20])
    rests = [SECOND[20:50], b"", SECOND[50:]]

    def wait() -> bool:
        if not rests:
            return False
        with path.open("ab") as file:
            file.write(rests.pop(0))
        return True

    with packets(path, wait) as reader:
        assert [packet.tokens[0, 0].tolist() for packet in reader] == [[1, 32767], [2, 12345]]
        assert (reader.skipped_bytes, reader.cut_bytes) == (0, 0)


def test_a_long_file_takes_little_memory() -> None:
    class Long(io.RawIOBase):
        left = LONG

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left) // len(EXAMPLE) * len(EXAMPLE)
            self.left -= size
            return EXAMPLE * (size // len(EXAMPLE))

    tracemalloc.start()
    try:
        count = sum(1 for _ in packets(Long()))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert count == 2 * (LONG // len(EXAMPLE))


@pytest.mark.parametrize("width", range(1, 25))
def test_indices_of_every_width(width: int) -> None:
    """Against the definition: bit k of number i is bit i · width + k."""
    random = np.random.default_rng(width)
    for count in (1, 7, 8, 9, 100):
        numbers = random.integers(0, 1 << width, (3, count), dtype=np.uint32)
        payloads = []
        for row in numbers.tolist():
            whole = sum(number << i * width for i, number in enumerate(row))
            payloads.append(whole.to_bytes(packed.packed_bytes(count, width), "little"))
        assert [packed.pack(row, width) for row in numbers] == payloads
        np.testing.assert_array_equal(packed.unpack(payloads, width, count), numbers)


def test_bits_behind_the_last_index_are_not_looked_at() -> None:
    assert read(HEADER + raw_packet(payload=b"\x01\x80\xff\xff")).tokens.tolist() == [[[1, 32767]]]


def test_streams_made_of_arrays() -> None:
    """The defaults of `Stream.of`: a causal stream's tail, windows, and times of its own."""
    tokens = np.arange(10).reshape(5, 1, 2)
    causal = read(written(Stream.of(EXAMPLE_FORMAT, tokens, segment_starts=[0, 3])))
    assert causal.real_frames.tolist() == [1, 4, 4, 1, 4]
    assert causal.segment_starts.tolist() == [0, 3]
    assert causal.packet_starts.tolist() == [0, 1, 2, 3, 4]
    assert causal.pts.tolist() == [k * 1_000_000_000 // 30 for k in range(14)]
    assert causal.ended

    windows = replace(EXAMPLE_FORMAT, causal=False)
    got = read(written(Stream.of(windows, tokens, segment_starts=[0, 2], real_frames=[4, 4, 4, 2, 0])))
    assert (got.packet_starts.tolist(), got.real_frames.tolist()) == ([0, 2], [4, 4, 4, 2, 0])
    np.testing.assert_array_equal(got.tokens, tokens)

    irregular = replace(EXAMPLE_FORMAT, framerate=Fraction(0))
    got = read(written(Stream.of(irregular, tokens[:2], pts=[5, 9, 9, 20, 100])))
    assert got.pts.tolist() == [5, 9, 9, 20, 100]
    assert got.durations.tolist() == [4, 0, 11, 80, -1]
    with pytest.raises(StreamError, match="needs the pts"):
        Stream.of(irregular, tokens)

    empty = Stream.of(EXAMPLE_FORMAT, tokens[:0], segment_starts=[])
    assert written(empty) == b""
    for some, starts, wrong in ((tokens[:0], (0,), 0), (tokens, (0, 5), 5), (tokens, (0, -1), -1)):
        for format in (EXAMPLE_FORMAT, windows):
            with pytest.raises(StreamError, match=f"latent frame {wrong}: the tokens have {len(some)}"):
                Stream.of(format, some, segment_starts=starts)


def test_large_codebooks_and_floats() -> None:
    large = replace(EXAMPLE_FORMAT, levels=(8,) * 6, token_type="uint32")
    got = read(written(Stream.of(large, np.array([[[262_143, 65_536]]]))))
    assert got.tokens.dtype == np.uint32
    assert got.tokens.tolist() == [[[262_143, 65_536]]]

    for token_type in ("float16", "float32"):
        format = replace(KL_FORMAT, token_type=token_type)
        values = np.linspace(-70_000, 70_000, 8, dtype=np.float64).reshape(1, 1, 2, 4)
        got = read(written(Stream.of(format, values)))
        assert got.tokens.dtype == np.dtype(token_type)
        limit = 65_504 if token_type == "float16" else 70_000
        np.testing.assert_allclose(got.tokens, values.clip(-limit, limit), rtol=1e-3)


def test_times_of_frames_that_have_no_offsets() -> None:
    """On the framerate's grid, whatever the duration; without a framerate, sharing the duration."""

    def times(framerate: str, real: int = 4, **fields: Any) -> list[int]:
        header = raw_header(example_json().replace("30/1", framerate))
        first = raw_packet(header)
        packet = raw_packet(header, flags=0, real=real, **fields)
        return [int(t) for t in read(header + first + packet).pts[1:]]

    # The grid of 30/1 has points at 33,333,333, 66,666,666, 100,000,000 and 133,333,333.
    assert times("30/1", pts=33_333_333) == [33_333_333, 66_666_666, 100_000_000, 133_333_333]
    # From a grid point onwards: the next at or after 33,333,334 is 66,666,666.
    assert times("30/1", pts=33_333_334) == [33_333_334, 66_666_668, 100_000_001, 133_333_334]
    assert times("30/1", pts=0, duration=7) == [0, 33_333_333, 66_666_666, 100_000_000]
    unknown = (1 << 64) - 1
    assert times("30/1", pts=0, duration=unknown) == [0, 33_333_333, 66_666_666, 100_000_000]
    assert times("0/1", pts=100, duration=10) == [100, 102, 105, 107]
    assert times("0/1", pts=100, duration=unknown) == [100, -1, -1, -1]
    assert times("30/1", pts=unknown) == [-1] * 4
    # So slow that the last frame's time is beyond 64 bits.
    slow = dict(latent=2, payload=bytes(8), pts=1 << 61)
    assert times("1/2147483647", real=5, **slow) == [1 << 61, -1, -1, -1, -1]


def test_a_damaged_or_joined_file_is_cut_and_joined_by_packets() -> None:
    expected = small_packets()
    data = bytearray(written(expected))
    data[len(without_end(expected)) - 100] ^= 1  # in the packet before the last
    uncertain = list(packets(bytes(data), on_loss="continue"))
    with pytest.raises(StreamError, match="missing in front of"):
        written(uncertain)
    with pytest.raises(StreamError, match="missing in front of latent frame 4"):
        written(read(bytes(data), on_loss="continue"))
    # Without what nothing decodes it is a stream again.
    assert read(written(read(bytes(data)))).tokens.tolist() == read(written(expected)).tokens[:4].tolist()
    with pytest.raises(StreamError, match="has to start a segment"):
        written(expected[1:])
    other = list(packets(written(Stream.of(KL_FORMAT, np.ones((1, 1, 2, 4), np.float32)))))
    joined = [*expected[3:], *other]
    assert list(map(facts, packets(written(joined)))) == list(map(facts, joined))


# Files that were joined.


def test_joined_files_of_one_format_are_one_stream() -> None:
    got = read(EXAMPLE + EXAMPLE)
    assert got.tokens.tolist() == [[[1, 32767]], [[2, 12345]]] * 2
    assert got.segment_starts.tolist() == [0, 2]


def test_joined_files_of_differing_formats() -> None:
    other = without_end(Stream.of(replace(EXAMPLE_FORMAT, width=32), np.arange(8).reshape(2, 1, 4)))
    data = EXAMPLE + other + b"behind" + other[:-1]
    with pytest.raises(StreamError, match="width from 16 to 32") as raised:
        read(data)
    place = int(re.findall(r"byte (\d+)", str(raised.value))[0])
    assert data[place : place + 4] == SYNC and place > len(EXAMPLE)

    first, second = read_joined(data)
    assert (first.tokens.shape, second.tokens.shape) == ((2, 1, 2), (3, 1, 4))
    assert (first.skipped_bytes, first.cut_bytes, first.ended) == (0, 0, True)
    assert (second.skipped_bytes, second.gaps.tolist(), second.ended) == (6, [2], False)
    assert second.cut_bytes == len(raw_packet(payload=bytes(8))) + 12 - 1
    widths = [packet.format.width for packet in packets(data)]
    assert widths == [16, 16, 32, 32, 32]


# Damage.


def test_a_cut_tail_is_the_end_at_every_byte() -> None:
    expected = list(map(facts, small_packets()))
    data = without_end(small_packets())
    header_bytes = data.index(SYNC)
    for length in range(len(data)):
        reader = packets(data[:length])
        if length < header_bytes:
            with pytest.raises(StreamError, match="no stream header"):
                list(reader)
            continue
        got = list(map(facts, reader))
        assert got == expected[: len(got)], length
        whole = read(data[:length])
        assert (whole.skipped_bytes, whole.ended) == (0, False), length
        assert len(whole.tokens) == len(got)
        consumed = without_end(small_packets()[: len(got)]) if got else b""
        # The second segment's stream header counts as read where it is whole.
        assert whole.cut_bytes in (length - len(consumed), length - len(consumed) - header_bytes), length
    assert read(data[:-1]).cut_bytes == 60 + 3 * 8 + 15 - 1


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_no_flipped_byte_goes_unnoticed(flip: int) -> None:
    expected = list(map(facts, small_packets()))
    data = written(small_packets())
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= flip
        reader = packets(damaged)
        got: list[tuple[object, ...]] = []
        try:
            got.extend(map(facts, reader))
        except StreamError as error:
            # Only what comes before all checksums: the version byte of the very first stream header.
            assert "version" in str(error) and at == 7, at
            continue
        assert all(packet in expected for packet in got), at
        assert reader.skipped_bytes + reader.cut_bytes > 0, at
        assert len(got) >= 3, at
        whole = read(damaged)
        assert whole.skipped_bytes + whole.cut_bytes > 0
        assert len(whole.tokens) == len(got)


def test_garbage_between_packets_is_skipped_and_counted() -> None:
    expected = small_packets()
    data = [written(expected[:3]), written(expected[3:])]
    for garbage in (bytes(1000), b"\x89" * 300 + b"\x89VTP\x30\0" + HEADER[:200], b"\x89VTP\xff\xff" * 50, b"\x89"):
        reader = packets(garbage + data[0] + garbage + data[1] + garbage + b"\0")
        got = list(reader)
        assert list(map(facts, got)) == list(map(facts, expected))
        assert [packet.skipped_bytes for packet in got] == [len(garbage), 0, 0, len(garbage), 0, 0]
        # A lure at the end may look like a packet that is cut off.
        assert reader.skipped_bytes + reader.cut_bytes == 3 * len(garbage) + 1


def test_lost_bytes_cost_their_packet_only() -> None:
    expected = small_packets()
    data = written(expected)
    at = len(without_end(expected)) - (60 + 24 + 15) - 10
    got = read(data[:at] + data[at + 5 :], on_loss="continue")
    assert got.tokens[:, 0, 0].tolist() == [0, 1, 2, 3, 5]
    assert (got.skipped_bytes, got.gaps.tolist()) == (60 + 15 - 5, [4])
    assert got.uncertain.tolist() == [False] * 4 + [True]


def test_packets_of_a_lost_stream_header_are_skipped() -> None:
    expected = small_packets()
    data = written(expected)
    other = raw_header(replace(expected[0].format, model="another of the same size").to_json())
    reader = packets(other + data[data.index(SYNC) :])
    assert list(map(facts, reader)) == list(map(facts, expected[3:]))
    assert reader.skipped_bytes > 0


@pytest.mark.parametrize("data", [b"", b"RIFF....WAVE", bytes(5000), b"\x89VIDTOK", b"\x89", FIRST])
def test_what_is_no_stream_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(StreamError, match="no VidTok stream"):
        read(data)


def test_a_stream_header_alone_is_an_empty_stream() -> None:
    got = read(HEADER)
    assert (got.tokens.shape, got.format, got.ended) == ((0, 1, 2), EXAMPLE_FORMAT, False)
    assert (len(got.pts), len(got.real_frames)) == (0, 0)


# What is intact but impossible, and what hostile input asks for.


def example_json() -> str:
    return HEADER[12:-4].decode()


def test_a_newer_version_is_named() -> None:
    with pytest.raises(StreamError, match="version 2"):
        read(b"\x89VIDTOK\x02 of unknown layout")
    with pytest.raises(StreamError, match=f"byte {len(EXAMPLE)}: .*version 2"):
        read(EXAMPLE + raw_header("{}", version=2))
    # Anywhere but at the very start it is a newer version only where the checksum holds.
    assert read(b"noise\x89VIDTOK\x02 of no checksum" + EXAMPLE).tokens.tolist() == [[[1, 32767]], [[2, 12345]]]


def test_unknown_flags_and_fields_are_ignored_or_refused_as_they_ask() -> None:
    for flag in range(4, 8):
        assert read(HEADER + raw_packet(flags=1 | 1 << flag)).tokens.tolist() == [[[1, 32767]]]
    for flag in range(8, 16):
        with pytest.raises(StreamError, match="feature"):
            read(HEADER + raw_packet(flags=1 | 1 << flag))
    for length in (1, 7, 12, 13, 1024 - 48):
        extension = bytes(min(length, 12)) + b"\7" * (length - 12)
        assert read(HEADER + raw_packet(extension=extension)).tokens.tolist() == [[[1, 32767]]]
    too_long = read(HEADER + raw_packet(extension=b"\7" * 977))
    assert (len(too_long.tokens), too_long.skipped_bytes) == (0, 1025 + 4)


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (raw_packet(latent=0), "0 latent frames"),
        (raw_packet(latent=4097), "4097 latent frames"),
        (raw_packet(latent=2), "2 latent frames take 8"),
        (raw_packet(payload=bytes(5)), "5 bytes"),
        (raw_packet(real=0), "0 video frames"),
        (raw_packet(real=2), "2 video frames"),
        (raw_packet(flags=0, real=5), "5 video frames"),
        (raw_packet(flags=4, real=(1 << 32) - 1), "4294967295 video frames"),
        (raw_packet(pts=(1 << 64) - 2), "PTS"),
        (raw_packet(duration=(1 << 61) + 1), "PTS"),
        (raw_packet(flags=4, real=2, pts=(1 << 64) - 1, offsets=(1,)), "without a PTS"),
        (raw_packet(flags=4, real=2, offsets=((1 << 64) - 1,)), "offset"),
    ],
)
def test_impossible_packets_are_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(StreamError, match=f"byte {len(HEADER)}: impossible packet: .*{reason}"):
        read(HEADER + packet)


def test_a_packet_of_few_bits_an_index_does_not_unpack_to_gigabytes() -> None:
    format = replace(EXAMPLE_FORMAT, levels=(2,), space_factor=1, width=2048, height=2048)
    header = raw_header(format.to_json())
    most, more = (raw_packet(header, latent=n, payload=bytes(n << 19)) for n in (4, 5))
    assert next(packets(header + most)).latent_frames == 4
    with pytest.raises(StreamError, match="16777216 indices"):
        next(packets(header + more))
    with pytest.raises(StreamError, match="16777216 indices"):
        written([replace(next(packets(header + most)), latent_frames=5, payload=bytes(5 << 19))])


def test_impossible_tokens_are_refused() -> None:
    five = raw_header(example_json().replace("[8,8,8,8,8]", "[5]").replace("32768", "5"))
    assert read(five + raw_packet(five, payload=bytes([4 | 3 << 3]))).tokens.tolist() == [[[4, 3]]]
    data = five + raw_packet(five, payload=bytes([4 | 5 << 3]))
    with pytest.raises(StreamError, match="index is not within 0 to 4"):
        read(data)
    with pytest.raises(StreamError, match=f"byte {len(five)}: an index"):
        next(packets(data)).tokens  # noqa: B018
    kl = raw_header(KL_FORMAT.to_json())
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(StreamError, match="not a finite number"):
            read(kl + raw_packet(kl, payload=np.full(8, value, "<f2").tobytes()))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"coding":"packed"', '"coding":"huffman"', "huffman"),
        ('"regularizer":"fsq"', '"regularizer":"vq"', "vq"),
        ('"levels":[8,8,8,8,8]', '"channels":4', "levels"),
        ('"levels":[8,8,8,8,8]', '"levels":[8,8,8,8,8],"channels":4', "channels"),
        ('"codebook-size":32768', '"codebook-size":32767', "codebook-size"),
        ("[8,8,8,8,8]", "[4294967295,4294967295]", "levels"),
        ("[8,8,8,8,8]", "[16777217]", "levels"),
        ("[8,8,8,8,8]", f"[{'2,' * 20_000}2]", "levels"),
        ("[8,8,8,8,8]", "[]", "levels"),
        ("[8,8,8,8,8]", "[32768,1]", "levels"),
        ("[8,8,8,8,8]", "[8,8,8,8,true]", "levels"),
        ("[8,8,8,8,8]", "[8,8,8,8,8.0]", "levels"),
        ("[8,8,8,8,8]", '"88888"', "levels"),
        ('"causal":true,', "", '"causal" is missing'),
        ('"causal":true', '"causal":1', "causal"),
        ('"grid-width":2', '"grid-width":3', "grid"),
        ('"width":16', '"width":-16', "-16"),
        ('"width":16', '"width":0', "video size 0"),
        ('"width":16', '"width":NaN', "NaN"),
        ('"width":16', f'"width":{"9" * 5000}', "JSON|width"),
        ('"framerate":"30/1"', '"framerate":"30/0"', "30/0"),
        ('"framerate":"30/1"', '"framerate":"2147483648/1"', "framerate"),
        ('"framerate":"30/1"', f'"framerate":"{"9" * 5000}/1"', "framerate"),
        ('"framerate":"30/1"', '"framerate":30', "framerate"),
        ('"pixel-aspect-ratio":"1/1"', '"pixel-aspect-ratio":"0/1"', "pixel aspect ratio of 0"),
        ("example", r"two\nlines", "name"),
        ("example", r"\ud800", "name"),
        ("example", "x" * 257, "name"),
        ("0123456789abcdef", "0123456789ABCDEF", "digest"),
        ('"time-factor":4', '"time-factor":1000', "1000"),
        ('"space-factor":8', '"space-factor":0', "compression"),
        ('"token-type":"uint16"', '"token-type":"float32"', "float32"),
        ('"token-type":"uint16"', '"token-type":["uint16"]', "token-type"),
        ('"causal":true', '"causal":true,"causal":true', "twice"),
        ("{", '{"new":1,"new":1,', "twice"),
        (
            '"regularizer":"fsq","levels":[8,8,8,8,8],"codebook-size":32768',
            '"regularizer":"kl","channels":65',
            "channels",
        ),
        ("}", "", "JSON"),
        ("{", '{"new":' + "[" * 30_000, "JSON"),
    ],
)
def test_impossible_stream_headers_are_refused_with_the_reason(old: str, new: str, reason: str) -> None:
    json = example_json()
    assert old in json
    with pytest.raises(StreamError, match=reason) as raised:
        read(raw_header(json.replace(old, new)))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("json", [b"", b"[]", b"3", b"\xff\xfe{}", b"{}", b'[["coding","packed"]]', b"null"])
def test_what_is_no_json_object_is_refused(json: bytes) -> None:
    with pytest.raises(StreamError, match="stream header"):
        read(raw_header(json))


def test_stream_headers_are_read_leniently_where_it_is_safe() -> None:
    json = example_json()
    for old, new in [
        ("{", '{"new-in-1.7":{"a":[1,2]},'),
        ('"token-type":"uint16",', ""),
        ('"codebook-size":32768,', ""),
        ('"codebook-size":32768,', '"codebook-size":null,'),
        ("}", ',"colorimetry":null}'),
    ]:
        assert read(raw_header(json.replace(old, new))).format == EXAMPLE_FORMAT


def test_a_length_out_of_bounds_is_not_waited_for() -> None:
    def read_on() -> bool:
        raise AssertionError("more bytes were asked for than can be needed")

    header = bytearray(HEADER)
    header[8:12] = struct.pack("<I", 65_537)
    long_header = bytearray(FIRST)
    long_header[4:6] = struct.pack("<H", 1025)
    long_payload = bytearray(FIRST)
    long_payload[20:24] = struct.pack("<I", 1 << 24)
    for lure in (header, long_header, long_payload):
        # Behind the lure is a packet: it comes out before more is asked for.
        reader = packets(HEADER + bytes(lure) + FIRST, read_on)
        assert next(reader).skipped_bytes == len(lure)


def test_a_hostile_stream_does_not_cost_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every header claims the rest of the stream as its body."""
    format = replace(EXAMPLE_FORMAT, width=32768, height=8192)
    header = raw_header(format.to_json())
    claim = 48 + format.payload_length(1).max
    front = raw_packet(header, payload=b"\0")
    fields = front[:20] + struct.pack("<I", format.payload_length(1).max) + front[24:44]
    lure = fields + struct.pack("<I", zlib.crc32(fields + bytes(4)))
    checked = 0
    crc32 = zlib.crc32

    def counting(data: bytes, start: int = 0) -> int:
        nonlocal checked
        checked += len(data)
        return crc32(data, start)

    monkeypatch.setattr(zlib, "crc32", counting)
    count = 2 * claim // len(lure)
    reader = packets(header + lure * count)
    assert list(reader) == []
    assert reader.skipped_bytes + reader.cut_bytes == len(lure) * count
    assert checked < (1 << 27) + 20 * count * len(lure)


def test_frames_in_the_file_bound_what_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_FRAMES", 3)
    with pytest.raises(StreamError, match="more than 3 video frames"):
        read(EXAMPLE)
    assert len(list(packets(EXAMPLE))) == 2


def test_random_damage_raises_nothing_but_stream_errors() -> None:
    random = np.random.default_rng(1)
    source = written(small_packets()) + EXAMPLE + written(Stream.of(KL_FORMAT, np.ones((2, 1, 2, 4), np.float32)))
    for _ in range(1500):
        data = bytearray(source)
        for _ in range(random.integers(1, 6)):
            begin = int(random.integers(0, len(data)))
            end = begin + int(random.integers(0, 40))
            data[begin:end] = random.bytes(int(random.integers(0, 40)))
        try:
            for part in read_joined(data):
                assert part.tokens.shape[1:] == part.format.latent_shape
                assert part.real_frames.sum() == len(part.pts) == len(part.durations)
        except StreamError as error:
            assert len(str(error)) < 300


# Writing what is wrong.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(latent_frames=0), "0 latent frames"),
        (dict(latent_frames=2), "2 latent frames take"),
        (dict(real_frames=5), "5 video frames"),
        (dict(real_frames=0), "0 video frames"),
        (dict(segment_start=True), "4 video frames"),
        (dict(offsets=(1, 2)), "2 frame offsets for 4"),
        (dict(offsets=(1, 2, 1 << 62)), "offset"),
        (dict(offsets=(-1, 2, 3)), "offset"),
        (dict(offsets=(1, 2, 3), pts=None), "without a PTS"),
        (dict(pts=-5), "PTS"),
        (dict(duration=1 << 62), "PTS"),
    ],
)
def test_what_no_reader_takes_is_not_written(change: dict[str, object], reason: str) -> None:
    start = next(packets(EXAMPLE))
    good = Packet.of(EXAMPLE_FORMAT, np.zeros((1, 1, 2), int), segment_start=False, pts=0)
    assert len(list(packets(written([start, good])))) == 2
    with pytest.raises(StreamError, match=reason):
        written([start, replace(good, **change)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tokens", "reason"),
    [
        (np.zeros((1, 2, 1), int), r"wanted is \[t, 1, 2\]"),
        (np.zeros((1, 1, 2)), "whole numbers"),
        (np.full((1, 1, 2), 32768), "0 to 32767"),
        (np.full((1, 1, 2), -1), "0 to 32767"),
        (np.zeros((0, 1, 2), int), "wanted is"),
    ],
)
def test_tokens_that_do_not_fit_are_not_written(tokens: np.ndarray, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        Packet.of(EXAMPLE_FORMAT, tokens, segment_start=True)


def test_a_framerate_is_a_fraction() -> None:
    with pytest.raises(StreamError, match="a framerate of 29.97"):
        replace(EXAMPLE_FORMAT, framerate=29.97)


def test_floats_that_are_none_are_not_written() -> None:
    with pytest.raises(StreamError, match="finite"):
        Packet.of(KL_FORMAT, np.full((1, 1, 2, 4), np.nan), segment_start=True)
    with pytest.raises(StreamError, match="floats"):
        Packet.of(KL_FORMAT, np.zeros((1, 1, 2, 4), int), segment_start=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(real_frames=np.array([1])), "2 counts"),
        (dict(pts=np.array([0])), "1 PTS"),
        (dict(packet_starts=np.array([1])), "packet_starts"),
        (dict(packet_starts=np.array([0, 2])), "packet_starts"),
        (dict(packet_starts=np.array([0, 0, 1])), "packet_starts"),
        (dict(segment_starts=np.array([0, 7])), "segment"),
        (dict(real_frames=np.array([1, 0]), pts=np.array([0]), durations=np.array([5])), "no real video frame"),
        (dict(pts=np.array([0, 9, 8, 7])), "offset"),
        (dict(uncertain=np.array([False, True])), "missing in front of latent frame 1"),
    ],
)
def test_arrays_that_contradict_each_other_are_not_written(change: dict[str, np.ndarray], reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        written(replace(read(EXAMPLE), **change))  # type: ignore[arg-type]


def test_a_reader_that_was_closed_gives_no_more(tmp_path: Path) -> None:
    path = tmp_path / "example.vidtok"
    path.write_bytes(EXAMPLE)
    with packets(path) as reader:
        assert isinstance(reader, PacketReader)
        assert next(reader).byte_position == len(HEADER)
    assert list(reader) == []
    damaged = packets(HEADER + raw_packet(latent=0) + FIRST)
    with pytest.raises(StreamError):
        next(damaged)
    assert list(damaged) == []


def test_the_code_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tokens = np.arange(80).reshape(40, 1, 2)
    write("clip.vidtok", Stream.of(EXAMPLE_FORMAT, tokens, segment_starts=[0, 20]))
    Path("broken.vidtok").write_bytes(b"nothing")
    write("other.vidtok", Stream.of(replace(EXAMPLE_FORMAT, digest="f" * 64), tokens))
    names: dict[str, Any] = {}
    for block in re.findall("```python\n(.*?)```", (ROOT / "python" / "README.md").read_text(), re.DOTALL):
        exec(block, names)
    said = capsys.readouterr().out
    assert "left out: broken.vidtok: no VidTok stream" in said
    assert "left out: other.vidtok is of example" in said
    # One sequence of 16 in each of the segments of 20.
    assert names["batch"].tolist() == [list(range(32)), list(range(40, 72))]
    assert read("made.vidtok").format.framerate == 24
    assert [len(part.tokens) for part in read_joined("joined.vidtok")] == [40, 4]
