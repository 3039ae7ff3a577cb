"""The Python package `vidtok_stream`: some frames of a file, and tokens as they are made."""

import io
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mutate

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import Follower, Stream, StreamError, excerpt, follow, read  # noqa: E402

from streams import EXAMPLE, FORMAT, KL_FORMAT, small_packets, without_end, written  # noqa: E402

LATENTS = 23
STARTS = (0, 5, 6, 14)


def made() -> Stream:
    """Segments of several lengths; latent frame i has the tokens 2 · i and 2 · i + 1."""
    return Stream.of(FORMAT, np.arange(2 * LATENTS).reshape(LATENTS, 1, 2), segment_starts=STARTS)


def latents_of(frames: range) -> list[int]:
    """The latent frames of `made()` that stand for the frames, by the rule of docs/stream.md."""
    stands_for = [latent for latent in range(LATENTS) for _ in range(1 if latent in STARTS else 4)]
    return sorted({stands_for[frame] for frame in frames})


@pytest.mark.parametrize("source", [written(made()), io.BytesIO(written(made()))], ids=["sought", "read"])
def test_some_frames_of_a_file(source: bytes | io.BytesIO) -> None:
    whole, count = made(), sum(1 if latent in STARTS else 4 for latent in range(LATENTS))
    ranges = [range(a, b) for a in range(count) for b in (a + 1, a + 7, count) if b <= count]
    for frames in ranges:
        if isinstance(source, io.BytesIO):
            source.seek(0)
        some = read(source, frames=frames)
        latents = latents_of(frames)
        assert some.tokens[some.wanted, 0, 0].tolist() == [2 * latent for latent in latents]
        assert some.pts[some.wanted_frames].tolist() == whole.pts[frames.start : frames.stop].tolist()
        # From the last segment start on, so that a decoder has nothing to decode in vain.
        start = max(start for start in STARTS if start <= latents[0])
        assert some.tokens[0, 0, 0] == 2 * start
        assert some.wanted.start == latents[0] - start
        assert some.segment_starts[0] == 0


def test_frames_that_a_file_does_not_have() -> None:
    with pytest.raises(StreamError, match="it has 5 frames, of which 3 to 9 are wanted"):
        read(written(Stream.of(FORMAT, np.zeros((2, 1, 2), int))), frames=range(3, 10))
    for wrong in (range(3, 3), range(-1, 4), range(0, 8, 2)):
        with pytest.raises(ValueError, match="a range such as"):
            read(EXAMPLE, frames=wrong)


def test_the_bytes_in_front_of_the_frames_are_not_read(tmp_path: Path) -> None:
    class Counted(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1, /) -> bytes:
            self.count += len(data := super().read(size))
            return data

    format = replace(FORMAT, width=1024, height=1024)
    stream = Stream.of(format, np.zeros((40, 128, 128), int), segment_starts=range(40))
    file = Counted(written(stream))
    found = excerpt.find_segment(file, 39)
    assert found is not None
    assert found.first_frame == 39
    # A latent frame has 30,720 bytes.
    assert file.count < 40 * 1024 < len(file.getvalue()) // 20


def test_frames_behind_damage_are_counted_as_a_whole_file_has_them() -> None:
    data = bytearray(written(made()))
    packet = data.index(b"\x89VTP", data.index(b"\x89VTP") + 1)
    data[packet + 20] ^= 1  # in the second packet's header
    whole = read(bytes(data))
    assert whole.skipped_bytes
    some = read(bytes(data), frames=range(2, 9))
    assert some.pts[some.wanted_frames].tolist() == whole.pts[2:9].tolist()


def test_changed_files_give_frames_or_an_error() -> None:
    seeds, chance, read_well = [EXAMPLE, written(made()), written(small_packets())], random.Random(2), 0
    for data in mutate.mutations(seeds):
        begin = chance.randrange(40)
        wanted = range(begin, begin + 1 + chance.randrange(9))
        try:
            some = read(data, frames=wanted)
        except StreamError:
            continue
        read_well += 1
        assert len(some.pts[some.wanted_frames]) == len(wanted)
        held = np.repeat(np.arange(len(some.tokens)), some.real_frames)[some.wanted_frames]
        assert (held[0], held[-1]) == (some.wanted.start, some.wanted.stop - 1)
    assert read_well > 20


def grow(write: Callable[[bytes], Any], data: bytes, pieces: int = 7) -> threading.Thread:
    """Writes `data` in pieces, in a thread."""

    def run() -> None:
        size = -(-len(data) // pieces)
        for at in range(0, len(data), size):
            write(data[at : at + size])
            time.sleep(0.01)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def numbers(follower: Iterator[np.ndarray]) -> list[int]:
    return [int(tokens[0, 0, 0]) // 2 for tokens in follower]


def test_a_file_that_grows_is_followed_to_the_streams_end(tmp_path: Path) -> None:
    path = tmp_path / "growing.vidtok"
    with open(path, "wb", buffering=0) as file:
        thread = grow(file.write, written(made()))
        assert numbers(follow(path)) == list(range(LATENTS))
        thread.join()


def test_it_ends_by_timeout_or_when_it_is_told_to(tmp_path: Path) -> None:
    path = tmp_path / "stopped.vidtok"
    path.write_bytes(without_end(made())[:-10])
    began = time.monotonic()
    assert numbers(follow(path, timeout=0.2)) == list(range(LATENTS - 1))
    assert 0.2 <= time.monotonic() - began < 5
    assert numbers(follow(path, stop=lambda: True)) == list(range(LATENTS - 1))


def test_a_file_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "late.vidtok"
    timer = threading.Timer(0.1, lambda: path.write_bytes(b""))
    timer.start()
    with pytest.raises(StreamError, match="late.vidtok: not a VidTok stream"):
        list(follow(path, timeout=0.3))
    with pytest.raises(FileNotFoundError):
        follow(tmp_path / "none.vidtok")
    timer.join()


def test_a_pipe_is_followed() -> None:
    for limits in ({}, {"timeout": 20.0}, {"stop": lambda: False}):
        read_end, write_end = os.pipe()
        thread = grow(lambda data, end=write_end: os.write(end, data), written(made()))
        # Its end mark ends the stream: nobody closes the pipe.
        assert numbers(follow(read_end, **limits)) == list(range(LATENTS))
        thread.join()
        os.close(write_end)
        os.close(read_end)


def test_a_pipe_that_stands_still_ends_by_timeout() -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, written(made())[:-700])
    assert len(numbers(follow(read_end, timeout=0.2))) > LATENTS // 2
    follower = follow(read_end, timeout=0.2)
    with pytest.raises(StreamError, match=f"file descriptor {read_end}: not a VidTok stream"):
        next(follower)
    os.close(write_end)
    with pytest.raises(StreamError, match="a pipe cannot be resumed"):
        follow(read_end, resume={"packets": 1, "header_position": 0, "packet_position": 9, "totals": [1, 1, 1]})
    os.close(read_end)


@pytest.mark.parametrize("on_loss", ["wait", "continue"])
@pytest.mark.parametrize("damaged", [False, True])
def test_it_is_resumed_behind_any_packet(tmp_path: Path, on_loss: Any, damaged: bool) -> None:
    data = bytearray(written(made()))
    if damaged:
        at = [i for i in range(len(data)) if data.startswith(b"\x89VTP", i)]
        data[at[2] + 20] ^= 1
        data[at[9] + 61] ^= 1
    path = tmp_path / "clip.vidtok"
    path.write_bytes(data)

    def facts(follower: Follower) -> list[tuple[object, ...]]:
        found = []
        for tokens in follower:
            assert follower.packet
            hole = follower.packet.hole
            found.append((tokens.tolist(), follower.packet.uncertain, hole, follower.packet.byte_position))
        return found

    whole = facts(follow(path, on_loss=on_loss))
    assert (len(whole) == LATENTS) != damaged
    assert any(hole for *_, hole, _ in whole) == damaged
    states = [(follower := follow(path, on_loss=on_loss)).state()]
    states += [follower.state() for _ in follower]
    for done, state in enumerate(states):
        again = follow(path, on_loss=on_loss, resume=json.loads(json.dumps(state)))
        assert again.packets == done
        assert facts(again) == whole[done:]
        assert again.packets == len(whole)


def test_a_state_of_something_else_is_refused(tmp_path: Path) -> None:
    path, other = tmp_path / "clip.vidtok", tmp_path / "other.vidtok"
    path.write_bytes(written(made()))
    other.write_bytes(written(Stream.of(KL_FORMAT, np.zeros((9, 1, 2, 4), np.float16))))
    follower = follow(path)
    next(follower)
    next(follower)
    state = follower.state()
    with pytest.raises(StreamError, match="not the file that was followed"):
        follow(other, resume=state)
    for key in state:
        for value in (-1, 1 << 62, "1", None, [], [1, 2, -3], [1] * 4):
            with pytest.raises(StreamError, match="no state of a follower|not the file that was followed"):
                numbers(follow(path, resume=state | {key: value}))
