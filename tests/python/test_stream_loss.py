"""The Python package `vidtok_stream`: packets that are missing, doubled, swapped or of two writers; ends and joins."""

import io
import itertools
import json
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from vidtok_stream import (  # noqa: E402
    Loss,
    Packet,
    Stream,
    StreamError,
    Writer,
    packets,
    read,
    read_joined,
    write,
)

from streams import FORMAT, written  # noqa: E402

# Packets of one latent frame: in a segment, and in a stream.
SEGMENT, COUNT = 38, 76


def pieces(stream_id: str | None = None, count: int = COUNT, segment: int = SEGMENT) -> list[bytes]:
    """The packets of a stream, behind their stream headers, and its end mark. A token is its latent frame's number."""
    writer = Writer(stream_id)

    def packet(i: int) -> Packet:
        return Packet.of(
            FORMAT,
            np.full((1, 1, 2), i),
            segment_start=i % segment == 0,
            segment_end=i % segment == segment - 1,
            pts=i * 1000,
        )

    return [*(writer.write(packet(i)) for i in range(count)), writer.end()]


def numbers(stream: Stream) -> list[int]:
    return stream.tokens[:, 0, 0].tolist()


def holes(data: bytes) -> list[tuple[Loss, int | None]]:
    reader = packets(data)
    list(reader)
    return [(hole.loss, hole.latent_frames) for hole in reader.holes]


def test_one_packet_of_76_is_missed() -> None:
    data = pieces()
    del data[50]
    whole = b"".join(data)
    waited = read(whole)
    assert numbers(waited) == list(range(50)), "up to the next segment start, which there is not"
    assert (waited.gaps.tolist(), waited.ended, waited.skipped_bytes) == ([50], True, 0)
    continued = read(whole, on_loss="continue")
    assert numbers(continued) == [*range(50), *range(51, 76)]
    assert continued.gaps.tolist() == [50]
    assert np.flatnonzero(continued.uncertain).tolist() == list(range(50, 75))
    assert holes(whole) == [(Loss.MISSING, 1)]
    # In the first segment: the second is read.
    data = pieces()
    del data[10]
    got = read(b"".join(data))
    assert (numbers(got), got.gaps.tolist()) == ([*range(10), *range(38, 76)], [10])
    assert next(p for p in packets(b"".join(data)) if p.hole).segment_start


@pytest.mark.parametrize("at", [0, 1, 10, 37, 38, 75])
def test_a_doubled_packet_is_left_out(at: int) -> None:
    data = pieces()
    whole = b"".join([*data[: at + 1], *data[at:]])
    got = read(whole)
    assert numbers(got) == list(range(COUNT))
    assert (got.gaps.tolist(), got.uncertain.any(), got.ended) == ([at + 1], False, True)
    assert holes(whole) == [(Loss.REPEATED, None)]
    # Nothing is missing, so that it can be written.
    assert numbers(read(written(got))) == list(range(COUNT))


def test_packets_that_changed_places_are_one_gap() -> None:
    data = pieces()
    data[20], data[21] = data[21], data[20]
    whole = b"".join(data)
    assert numbers(read(whole)) == [*range(20), *range(38, 76)]
    assert holes(whole) == [(Loss.MISSING, 1)]
    continued = read(whole, on_loss="continue")
    assert numbers(continued) == [*range(20), *range(21, 76)], "the one that comes too late is never used"
    assert continued.gaps.tolist() == [20]


def test_a_segments_worth_of_packets_is_missed_although_positions_fit() -> None:
    data = pieces()
    whole = b"".join(data[:19] + data[19 + SEGMENT :])
    assert numbers(read(whole)) == list(range(19))
    assert holes(whole) == [(Loss.MISSING, None)]


def test_packets_of_two_writers_are_told_apart() -> None:
    both = zip(pieces("one"), pieces("two"), strict=True)
    reader = packets(b"".join(piece for pair in both for piece in pair))
    before: Packet | None = None
    for packet in reader:
        if not packet.segment_start:
            assert before and packet.stream_id == before.stream_id
            assert packet.tokens[0, 0, 0] == before.tokens[0, 0, 0] + 1
        before = packet
    assert reader.holes


@pytest.mark.parametrize("count", range(1, 9))
def test_every_complete_file_has_ended_and_no_cut_one(count: int) -> None:
    """Whatever its number of frames: 4k + 1 ones end with a packet that was full before the end was known."""
    data = pieces(count=count)
    whole = read(b"".join(data))
    assert whole.ended and not len(whole.gaps)
    for cut in range(1, len(data)):
        part = read(b"".join(data[:cut]))
        assert (part.ended, len(part.tokens), part.cut_bytes, part.gaps.tolist()) == (False, cut, 0, [])
    assert not read(b"".join(data)[:-1]).ended


def test_what_is_missing_at_the_end_is_counted_by_the_end_mark() -> None:
    data = pieces()
    whole = b"".join(data[:70] + data[-1:])
    assert holes(whole) == [(Loss.MISSING, 6)]
    got = read(whole)
    assert (got.ended, got.gaps.tolist()) == (True, [70])


def test_a_file_is_cut_in_front_of_any_stream_header() -> None:
    data = b"".join(pieces())
    cut = data.index(b"\x89VIDTOK", 1)
    first, second = read(data[:cut]), read(data[cut:])
    assert (numbers(first), first.ended, len(first.gaps)) == (list(range(38)), False, 0)
    assert (numbers(second), second.ended, len(second.gaps)) == (list(range(38, 76)), True, 0)
    end_mark = data.rindex(b"\x89VIDTOK")
    nothing = read(data[end_mark:])
    assert (len(nothing.tokens), nothing.ended, nothing.format) == (0, True, FORMAT)


def test_a_join_is_a_segment_start_where_times_begin_anew() -> None:
    one, two = b"".join(pieces("one")), b"".join(pieces("two", count=5))
    for data, streams in ((one + two, None), (one + one, "one")):
        got = read(data)
        assert COUNT in got.segment_starts.tolist()
        frame = int(got.real_frames[:COUNT].sum())
        assert got.pts[frame] == 0 < got.pts[frame - 1]
        assert (got.gaps.tolist(), got.ended, got.stream_id) == ([], True, streams)
    # A writer was stopped inside a segment, and another appended.
    cut = b"".join(pieces("one")[:50]) + two
    assert holes(cut) == [(Loss.NO_END, None)]
    got = read(cut)
    assert (got.gaps.tolist(), got.ended, len(got.tokens)) == ([50], True, 55)


def test_joined_files_are_written_as_such() -> None:
    one, two = pieces("one"), pieces("two", count=5)
    file = io.BytesIO()
    write(file, (packet for data in (one, two) for packet in packets(b"".join(data))))
    assert file.getvalue() == b"".join(one + two)
    write(file := io.BytesIO(), packets(b"".join(one + two)), stream_id="another")
    assert read(file.getvalue()).stream_id == "another"
    random = [read(written(Stream.of(FORMAT, np.zeros((1, 1, 2), int)))).stream_id for _ in range(2)]
    assert random[0] != random[1] and all(stream_id and len(stream_id) == 32 for stream_id in random)


def test_a_stream_without_its_end_is_written_without_one() -> None:
    cut = read(b"".join(pieces("one")[:50]))
    assert written(cut) == b"".join(pieces("one")[:50])


def test_packets_without_their_streams_end_are_written_without_one() -> None:
    data = pieces("one")
    for cut in (b"".join(data[:50]), b"".join(data[:38]), b"".join(data)[:-1]):
        file = io.BytesIO()
        write(file, packets(cut))
        got = read(file.getvalue())
        assert (numbers(got), got.ended) == (numbers(read(cut)), False)
    # A part of a file is the start of a stream.
    write(file := io.BytesIO(), itertools.islice(packets(b"".join(data)), 20))
    assert file.getvalue() == b"".join(data[:20])


@pytest.mark.parametrize("second", ["one", "two"])
@pytest.mark.parametrize("cut", [20, 38, 50])
def test_a_file_that_was_cut_off_and_one_behind_it_are_joined_with_a_gap(cut: int, second: str) -> None:
    """Read from two files, or from one that holds both."""
    parts = [b"".join(pieces("one")[:cut]), b"".join(pieces(second, count=5))]
    file = io.BytesIO()
    write(file, (packet for part in parts for packet in packets(part)))
    got = read(file.getvalue())
    assert (len(got.tokens), got.ended) == (cut + 5, True)
    # Where the first one's segment has ended, its writer may have gone on or not: another stream hides no gap.
    assert got.gaps.tolist() == ([] if cut == 38 and second == "two" else [cut])
    write(file := io.BytesIO(), packets(b"".join(parts)))
    assert read(file.getvalue()).gaps.tolist() == read(b"".join(parts)).gaps.tolist()


@pytest.mark.parametrize("left_out", [range(10, 11), range(20, 50), range(30, 38), range(38, 76), range(70, 76)])
def test_what_is_missing_is_missing_when_it_is_written_again(left_out: range) -> None:
    whole = pieces("one", count=3 * SEGMENT)
    data = b"".join(piece for i, piece in enumerate(whole) if i not in left_out)
    first = read(data)
    assert len(first.gaps) == 1
    for content in (packets(data), first):
        write(file := io.BytesIO(), content)
        again = read(file.getvalue())
        assert (numbers(again), again.gaps.tolist()) == (numbers(first), first.gaps.tolist())
        assert again.ended


def test_a_loss_in_front_of_the_end_mark_leaves_none() -> None:
    data = pieces("one")
    whole = b"".join(data[:70] + data[-1:])
    for content in (packets(whole), read(whole)):
        write(file := io.BytesIO(), content)
        got = read(file.getvalue())
        assert (numbers(got), got.ended) == (list(range(70)), False)


def test_a_loss_at_the_end_of_a_joined_file_is_that_files() -> None:
    wide = replace(FORMAT, width=32)
    behind = written(Stream.of(wide, np.zeros((3, 1, 4), int)))
    data = pieces("one")
    for front, ended in ((data[:70] + data[-1:], True), (data[:70], False)):
        first, second = read_joined(b"".join(front) + behind)
        assert (first.gaps.tolist(), first.ended, second.gaps.tolist(), second.ended) == ([70], ended, [], True)


def test_a_segment_whose_last_packet_did_not_know_has_a_mark_of_its_own() -> None:
    writer = Writer("one")
    data = b"".join(
        writer.write(Packet.of(FORMAT, np.full((1, 1, 2), i), segment_start=i % 2 == 0, pts=i)) for i in range(4)
    )
    data += writer.end()
    assert data.count(b'"end":') == 2
    got = read(data)
    assert (numbers(got), got.gaps.tolist(), got.ended) == ([0, 1, 2, 3], [], True)


def test_the_format_may_change_inside_a_stream() -> None:
    writer = Writer("one")
    wide = replace(FORMAT, width=32)
    data = writer.write(Packet.of(FORMAT, np.zeros((1, 1, 2), int), segment_start=True))
    data += writer.write(Packet.of(wide, np.zeros((1, 1, 4), int), segment_start=True)) + writer.end()
    first, second = read_joined(data)
    assert (first.gaps.tolist(), second.gaps.tolist(), second.ended) == ([], [], True)
    assert {first.stream_id, second.stream_id} == {"one"}


def test_a_policy_that_is_none_is_named() -> None:
    with pytest.raises(ValueError, match="on_loss"):
        read(b"", on_loss="ignore")  # type: ignore[arg-type]


# Hostile streams.


def header(**more: object) -> bytes:
    body = json.dumps(json.loads(FORMAT.to_json()) | more).encode()
    data = b"\x89VIDTOK\1" + struct.pack("<I", len(body)) + body
    return data + struct.pack("<I", zlib.crc32(data))


def totals(latent_frames: object, frames: object) -> dict[str, object]:
    return {"latent-frames": latent_frames, "frames": frames}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"stream-id": ""}, "1 to 64 visible"),
        ({"stream-id": "x" * 65}, "1 to 64 visible"),
        ({"stream-id": "two words"}, "1 to 64 visible"),
        ({"stream-id": "line\n"}, "1 to 64 visible"),
        ({"stream-id": "für"}, "1 to 64 visible"),
        ({"stream-id": 7}, "stream-id"),
        ({"end": 7}, "end"),
        ({"end": {}}, "segment"),
        ({"end": {"segment": totals(-1, 0)}}, "latent-frames"),
        ({"end": {"segment": totals(1 << 64, 0)}}, "latent-frames"),
        ({"end": {"segment": totals((1 << 48) + 1, 0)}}, "latent-frames"),
        ({"end": {"segment": totals(1, 65)}}, "end mark"),
        ({"end": {"segment": totals(2, 2), "stream": totals(1, 2)}}, "end mark"),
        ({"end": {"segment": totals(1.5, 1)}}, "latent-frames"),
        ({"end": {"segment": totals(1, 1), "segment-number": 1 << 32}}, "segment-number"),
    ],
)
def test_impossible_ids_and_end_marks_are_refused(more: dict[str, object], reason: str) -> None:
    with pytest.raises(StreamError, match=reason) as raised:
        read(header(**more))
    assert len(str(raised.value)) < 300


def numbered(latent_frame: int, segment: int, flags: int = 0) -> bytes:
    """A packet with right checksums at any place."""
    crc = zlib.crc32(header()[:-4])
    payload = bytes(4)

    def front(own: int) -> bytes:
        numbers = (60, flags, crc, 1, 1, 4, 0, 0, zlib.crc32(payload), own, latent_frame, segment)
        return b"\x89VTP" + struct.pack("<HHIIIIQQIIQI", *numbers)

    return front(zlib.crc32(front(0))) + payload


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (numbered((1 << 64) - 1, 0), f"latent frame {(1 << 64) - 1}"),
        (numbered((1 << 48) + 1, 0), "latent frame"),
        (numbered(5, 0, flags=1), "a segment start at latent frame 5"),
        (numbered(0, 0), "no segment start at latent frame 0"),
    ],
)
def test_impossible_positions_are_refused(packet: bytes, reason: str) -> None:
    with pytest.raises(StreamError, match=reason):
        read(header() + packet)


def test_the_largest_numbers_are_read() -> None:
    largest = 1 << 48
    data = header() + numbered(0, (1 << 32) - 1, flags=1) + numbered(largest, (1 << 32) - 1)
    end = {"segment": totals(largest, largest * 64), "stream": totals(largest, largest * 64)}
    got = read(data + header(end=end), on_loss="continue")
    assert (len(got.tokens), got.gaps.tolist(), got.ended) == (2, [1, 2], True)
    assert holes(data)[0] == (Loss.MISSING, largest - 1)
