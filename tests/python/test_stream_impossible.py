"""The Python package `vidtok_stream`: streams that are newer or impossible, and what a writer refuses."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import (  # noqa: E402
    Packet,
    StreamError,
    packets,
    read,
)

from streams import (  # noqa: E402
    EXAMPLE,
    HEADER,
    KL_FORMAT,
    example_json,
    raw_header,
    raw_packet,
    written,
)
from streams import FORMAT as EXAMPLE_FORMAT  # noqa: E402


def test_a_newer_version_is_named() -> None:
    with pytest.raises(StreamError, match="version 2"):
        read(b"\x89VIDTOK\x02 of unknown layout")
    with pytest.raises(StreamError, match=f"byte {len(EXAMPLE)}: .*version 2"):
        read(EXAMPLE + raw_header("{}", version=2))
    # Behind the start it is a newer version only if the checksum holds.
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
    longest, longer = (raw_packet(header, latent=n, payload=bytes(n << 19)) for n in (4, 5))
    assert next(packets(header + longest)).latent_frames == 4
    with pytest.raises(StreamError, match="16777216 indices"):
        next(packets(header + longer))
    with pytest.raises(StreamError, match="16777216 indices"):
        written([replace(next(packets(header + longest)), latent_frames=5, payload=bytes(5 << 19))])


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
