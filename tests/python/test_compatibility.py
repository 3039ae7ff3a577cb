"""Version 1.0 of the byte stream: its Python reader reads what is written now, and what it has written is read now."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data" / "v1_0"
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import Loss, Packet, Stream, TokenFormat, Writer, packets, read  # noqa: E402

from streams import FORMAT as CAUSAL  # noqa: E402
from streams import written  # noqa: E402


def version_1_0() -> ModuleType:
    """The package as it was, under a name of its own."""
    name, folder = "vidtok_stream_1_0", DATA / "vidtok_stream"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


THEN = version_1_0()
OLD_FILE = (DATA / "stream.vidtok").read_bytes()
KL = replace(CAUSAL, levels=None, channels=4, token_type="float32", causal=False)
ARRAYS = ("tokens", "real_frames", "pts", "durations", "segment_starts", "packet_starts", "gaps")


def tokens(format: TokenFormat, count: int) -> np.ndarray:
    return (
        np.arange(count * int(np.prod(format.latent_shape))).reshape(count, *format.latent_shape).astype(format.dtype)
    )


def marked() -> bytes:
    """Segments that end by marks."""
    writer = Writer("one")
    data = [
        writer.write(Packet.of(CAUSAL, tokens(CAUSAL, i + 1), segment_start=i % 3 == 0, pts=i * 1000)) for i in range(9)
    ]
    return b"".join(data) + writer.end()


@pytest.mark.parametrize(
    "data",
    [
        written(Stream.of(CAUSAL, tokens(CAUSAL, 1))),
        written(Stream.of(CAUSAL, tokens(CAUSAL, 7), segment_starts=[0, 3])),
        written(Stream.of(KL, tokens(KL, 8), segment_starts=[0, 4])),
        marked(),
        marked() + written(Stream.of(CAUSAL, tokens(CAUSAL, 2))) + marked(),
    ],
    ids=["one latent frame", "two segments", "windows", "end marks", "joined"],
)
def test_the_reader_of_version_1_0_reads_what_is_written_now(data: bytes) -> None:
    then, now = THEN.read(data), read(data)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(then, name), getattr(now, name), name)
    assert then.format.to_json() == now.format.to_json()
    assert (then.skipped_bytes, then.cut_bytes) == (0, 0)
    assert now.ended


def test_the_file_of_version_1_0_is_read_as_it_was() -> None:
    then, now = THEN.read(OLD_FILE), read(OLD_FILE)
    assert len(now.tokens) == 6 and now.segment_starts.tolist() == [0, 3]
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(then, name), getattr(now, name), name)
    assert (now.ended, now.stream_id, now.skipped_bytes) == (True, None, 0)
    assert all(packet.latent_frame is None and packet.segment is None for packet in packets(OLD_FILE))
    # The writer numbers it.
    again = read(written(now))
    np.testing.assert_array_equal(again.tokens, now.tokens)
    assert again.stream_id
    # Without its last packet it has no end, and nothing else shows that it was cut off.
    assert not read(OLD_FILE[: OLD_FILE.rindex(b"\x89VTP")]).ended


def test_damage_in_the_file_of_version_1_0_is_a_gap() -> None:
    data = bytearray(OLD_FILE)
    data[data.index(b"\x89VTP") + 2 * 52 - 1] ^= 1  # in the second packet's payload
    reader = packets(data)
    assert len(list(reader)) == 4
    assert [hole.loss for hole in reader.holes] == [Loss.DAMAGE]
    assert read(data).gaps.tolist() == [1]
    continued = read(data, on_loss="continue")
    assert (continued.gaps.tolist(), continued.uncertain.tolist()) == ([1], [False, True, False, False, False])


def test_joined_with_a_new_file_it_is_read_by_both() -> None:
    for data in (OLD_FILE + marked(), marked() + OLD_FILE):
        then, now = THEN.read(data), read(data)
        np.testing.assert_array_equal(then.tokens, now.tokens)
        assert (now.gaps.tolist(), now.ended) == ([], True)
