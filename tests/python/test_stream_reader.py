"""The Python package `vidtok_stream`: docs/stream.md's example, every kind of good file, and joined ones.

That it and the Rust implementation read each other's files is tested in tests/python_interop.rs.
"""

import io
import os
import re
import sys
import threading
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import (  # noqa: E402
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

from streams import (  # noqa: E402
    DOCUMENT,
    EXAMPLE,
    FIRST,
    HEADER,
    KL_FORMAT,
    SECOND,
    SYNC,
    Trickle,
    example_json,
    facts,
    raw_header,
    raw_packet,
    small_packets,
    without_end,
    written,
)
from streams import FORMAT as EXAMPLE_FORMAT  # noqa: E402

# Length of a file that does not fit into the memory that its reader may take.
LONG = 10 << 20


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
        # If the reader waited for more than the packet, neither side would continue.
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
    """By the definition: bit k of number i is bit i · width + k."""
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

    lists = read(written(Stream.of(EXAMPLE_FORMAT, tokens.tolist())))
    np.testing.assert_array_equal(lists.tokens, tokens)
    with pytest.raises(StreamError, match=r"tokens of shape \[1, 2\], wanted is \[t, 1, 2\]"):
        written(Stream.of(EXAMPLE_FORMAT, [[1, 2]]))

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
    # At this framerate the last frame's time does not fit into 64 bits.
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
    # Without the packets that cannot be decoded it is a stream again.
    assert read(written(read(bytes(data)))).tokens.tolist() == read(written(expected)).tokens[:4].tolist()
    with pytest.raises(StreamError, match="must start a segment"):
        written(expected[1:])
    other = list(packets(written(Stream.of(KL_FORMAT, np.ones((1, 1, 2, 4), np.float32)))))
    joined = [*expected[3:], *other]
    assert list(map(facts, packets(written(joined)))) == list(map(facts, joined))


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


def test_frames_in_the_file_bound_what_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_FRAMES", 3)
    with pytest.raises(StreamError, match="more than 3 video frames"):
        read(EXAMPLE)
    assert len(list(packets(EXAMPLE))) == 2


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
    assert "left out: broken.vidtok: not a VidTok stream" in said
    assert "left out: other.vidtok is of example" in said
    # One sequence of 16 in each of the segments of 20.
    assert names["batch"].tolist() == [list(range(32)), list(range(40, 72))]
    assert read("made.vidtok").format.framerate == 24
    assert [len(part.tokens) for part in read_joined("joined.vidtok")] == [40, 4]
    # 33 frames in segments of 17, whose first latent frame stands for one frame.
    assert read("encoded.vidtok").segment_starts.tolist() == [0, 5]
    assert "(33, 128, 128, 3)" in said
