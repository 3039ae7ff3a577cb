"""examples/train but for its network: what is read, split and counted, and that what it writes plays. No PyTorch."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from math import log2
from pathlib import Path

import numpy as np
import pytest

from dataset import ROOT, Program

from layout_samples import FSQ, layout, sample, write  # isort: skip

sys.path.append(str(ROOT / "examples" / "train"))

from vidtok_dataset.sample import Sample, Tokenizer
from vidtok_stream import read

import baselines
import clips
from token_file import format_of, write_clip

LEVELS = (5, 3, 4)


def clip(key: str, digits: np.ndarray, *segments: int, source: int = 0) -> clips.Clip:
    """A clip of `[F, h, w, 3]` digits; segments of so many latent frames."""
    ends = np.cumsum(segments or (len(digits),)).tolist()
    starts = [0, *ends[:-1]]
    about = {
        "key": key,
        "source_sha256": f"{source:064x}",
        "segments": [[start, end - start, 0, 0] for start, end in zip(starts, ends, strict=True)],
        "tokenizer": {"levels": list(LEVELS)},
    }
    return clips.Clip(about, clips.tokens_of(digits, LEVELS))


def random_digits(frames: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, LEVELS, (frames, 6, 6, 3))


def test_a_data_set_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = [sample("a"), sample("b", ((2, 5), (1, 1)))]
    write(tmp_path, layout("1x-v1"), written)
    found = clips.read(tmp_path)
    assert [each.key for each in found] == ["a", "b"]
    for each, original in zip(found, written, strict=True):
        np.testing.assert_array_equal(each.tokens, original.tokens)
        assert each.levels == FSQ.levels and each.digest == FSQ.digest and each.framerate == 25
    assert [len(segment) for segment in found[1].segments()] == [2, 1]
    assert len(found[1].beginning()) == 2


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(30000, 1001), Fraction(60)])
def test_the_framerate_comes_from_the_times(tmp_path: Path, rate: Fraction) -> None:
    times = [int(number * 1_000_000_000 / rate) for number in range(9)]
    write(tmp_path, layout("1x-v1"), [sample("a", pts=np.array(times))])
    assert clips.read(tmp_path)[0].framerate == rate


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vidtok-dataset --layout 1x-v1"):
        clips.read(tmp_path)
    write(tmp_path, layout("1x-v1"), [sample("a"), sample("b")])
    lines = (tmp_path / "samples.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "samples.jsonl").write_text(lines[0], "utf-8")
    with pytest.raises(ValueError, match="samples.jsonl has 3 latent frames, and video.bin 6"):
        clips.read(tmp_path)
    with pytest.raises(ValueError, match="no clip c; it has a, b"):
        clips.find([clip("a", random_digits(2)), clip("b", random_digits(2))], "c")


def test_samples_of_one_video_are_on_one_side() -> None:
    windows = [clip(f"film{source}-{n}", random_digits(2), source=source) for source in range(16) for n in range(3)]
    for patterns in ([], ["film3-*", "film5-1"]):
        train, held_out = clips.split(windows, patterns)
        assert len(train) + len(held_out) == len(windows)
        sources = [{each.about["source_sha256"] for each in side} for side in (train, held_out)]
        assert not sources[0] & sources[1] and len(sources[1]) == 2
    with pytest.raises(ValueError, match="48 clips to train on and 0 held out"):
        clips.split(windows, ["other*"])


def test_digits_are_those_of_the_graphs_document() -> None:
    # index = Σ digit(c) · Π levels(0 … c - 1)
    assert clips.digits_of(np.array([3 + 5 * 2 + 15 * 1]), LEVELS).tolist() == [[3, 2, 1]]
    all_tokens = np.arange(5 * 3 * 4)
    digits = clips.digits_of(all_tokens, LEVELS)
    assert (digits < LEVELS).all()
    np.testing.assert_array_equal(clips.tokens_of(digits, LEVELS), all_tokens)


def test_examples_never_reach_over_the_start_of_a_segment() -> None:
    digits = random_digits(5)
    none = np.full_like(digits[0], clips.none_of(LEVELS))
    found = clips.examples([clip("a", digits, 3, 2)], frames=2)
    np.testing.assert_array_equal(found.present, digits[[1, 2, 4]])
    np.testing.assert_array_equal(found.past, [[digits[0], none], [digits[1], digits[0]], [digits[3], none]])


def test_transitions_are_probabilities_of_digits_that_exist() -> None:
    tables = baselines.transitions(clips.examples([clip("a", random_digits(3))], 1), LEVELS)
    assert tables.shape == (3, 6, 5)
    for table, values in zip(tables, LEVELS, strict=True):
        np.testing.assert_allclose(table[: values + 1].sum(1), 1)
        assert (table[:, values:] == 0).all() and (table[:, :values] > 0).all()


def test_baselines_have_the_bits_of_what_they_know() -> None:
    """Of random tokens: all bits. Of a video that stands still, or whose digits always go up by one: none."""
    random = clips.examples([clip("a", random_digits(200))], 1)
    still = clips.examples([clip("a", np.repeat(random_digits(1), 200, 0))], 1)
    rising = random_digits(1)[0] + np.arange(300)[:, None, None, None]
    moving = clips.examples([clip("a", rising % LEVELS)], 1)
    codes = log2(5 * 3 * 4)
    bits = {
        name: [each.bits for each in baselines.baselines(given, given, LEVELS)]
        for name, given in (("random", random), ("still", still), ("moving", moving))
    }
    np.testing.assert_allclose(bits["random"][:5], codes, atol=0.02)
    np.testing.assert_allclose(bits["still"][3:], 0, atol=0.01)
    # Of 60 tokens, each comes after all others.
    np.testing.assert_allclose(bits["moving"][:4], codes, atol=0.02)
    assert bits["moving"][4] < 0.1 and bits["moving"][5] < 0.1
    assert baselines.copy_accuracy(still) == (1, 1) and baselines.copy_accuracy(moving) == (0, 0)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program.new(tmp_path_factory.mktemp("program"))


def launch(program: Program, line: str) -> None:
    command = ["gst-launch-1.0", "-q", *line.split()]
    subprocess.run(command, env=program.environment(), check=True, timeout=60)


def decoded(program: Program, file: Path) -> np.ndarray:
    """`[frames, 32, 32, 3]`: the pictures of a file."""
    pictures = file.with_suffix(".rgb")
    line = f"filesrc location={file} ! vidtokparse ! vidtokdec ! video/x-raw,format=RGB ! filesink location={pictures}"
    launch(program, line)
    return np.fromfile(pictures, np.uint8).reshape(-1, 32, 32, 3)


def test_what_is_written_plays(program: Program, tmp_path: Path) -> None:
    """A clip is encoded, goes through a data set, and is written with a latent frame more."""
    encoded, made = tmp_path / "encoded.vidtok", tmp_path / "made.vidtok"
    source = "videotestsrc num-buffers=9 pattern=ball ! video/x-raw,width=32,height=32,framerate=24/1"
    launch(program, f"{source} ! vidtokenc ! filesink location={encoded}")
    record = {"key": "a", "source": "ball", "source_sha256": "0" * 64, "first_frame": 0}
    write(tmp_path / "set", layout("1x-v1"), [Sample.read(encoded, record)])

    [found] = clips.read(tmp_path / "set")
    original = read(encoded)
    unsaid = {"colorimetry": None}
    assert format_of(found) == replace(original.format, **unsaid)
    continued = np.concatenate([found.beginning(), found.tokens[-1:]])
    write_clip(made, found, continued)

    stream = read(made)
    np.testing.assert_array_equal(stream.tokens, continued)
    assert stream.ended and stream.pts[:9].tolist() == original.pts.tolist()
    before, shown = (decoded(program, file) for file in (encoded, made))
    # 1 + 4 + 4 video frames of the clip, and 4 of the latent frame more.
    assert len(before) == 9 and len(shown) == 13
    np.testing.assert_array_equal(shown[:9], before)


def test_tokens_that_cannot_be_continued_are_refused(tmp_path: Path) -> None:
    windows: Tokenizer = replace(FSQ, is_causal=False)
    write(
        tmp_path,
        layout("1x-v1"),
        [
            sample("a", ((1, 4),), tokenizer=windows),
        ],
    )
    [found] = clips.read(tmp_path)
    with pytest.raises(ValueError, match="not causal"):
        write_clip(tmp_path / "a.vidtok", found, found.tokens)
    found.about["preceding_latent_frames"] = 2
    with pytest.raises(ValueError, match="does not decode without"):
        found.beginning()
