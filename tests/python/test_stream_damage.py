"""The Python package `vidtok_stream`: damaged streams, cut ones, and one that is made to cost time."""

import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import (  # noqa: E402
    Stream,
    StreamError,
    packets,
    read,
    read_joined,
)

from streams import (  # noqa: E402
    EXAMPLE,
    FIRST,
    HEADER,
    KL_FORMAT,
    SYNC,
    facts,
    raw_header,
    raw_packet,
    small_packets,
    without_end,
    written,
)
from streams import FORMAT as EXAMPLE_FORMAT  # noqa: E402


def test_a_cut_tail_is_the_end_at_every_byte() -> None:
    expected = list(map(facts, small_packets()))
    data = without_end(small_packets())
    header_bytes = data.index(SYNC)
    for length in range(len(data)):
        reader = packets(data[:length])
        if length < header_bytes:
            with pytest.raises(StreamError, match="no whole stream header"):
                list(reader)
            continue
        got = list(map(facts, reader))
        assert got == expected[: len(got)], length
        whole = read(data[:length])
        assert (whole.skipped_bytes, whole.ended) == (0, False), length
        assert len(whole.tokens) == len(got)
        consumed = without_end(small_packets()[: len(got)]) if got else b""
        # If the second segment's stream header is whole, the reader has read it.
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
            # Only the version byte of the first stream header is believed without a checksum.
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
    with pytest.raises(StreamError, match="not a VidTok stream"):
        read(data)


def test_a_stream_header_alone_is_an_empty_stream() -> None:
    got = read(HEADER)
    assert (got.tokens.shape, got.format, got.ended) == ((0, 1, 2), EXAMPLE_FORMAT, False)
    assert (len(got.pts), len(got.real_frames)) == (0, 0)


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
        # The reader gives the packet behind the lure before it asks for more.
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
