"""What is counted of a data set's samples, and the report's pure parts: pictures, histograms."""

import json
import math
import zipfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from layout_samples import FRAME, FSQ, KL, sample  # isort: skip; it makes vidtok_dataset importable
from vidtok_dataset.charts import number, short
from vidtok_dataset.errors import DatasetError
from vidtok_dataset.options import Options
from vidtok_dataset.pictures import fitted, psnr, scaled, squared_error, token_colours, turned
from vidtok_dataset.plan import Plan
from vidtok_dataset.report import codes, distribution, nice, numbers
from vidtok_dataset.report_html import page
from vidtok_dataset.sources import Clip
from vidtok_dataset.stats import Stats, counted, digit_counts, entropy, motion_of, seconds_of

SEGMENTS = ((3, 9), (2, 5))
LARGE = replace(FSQ, codebook=262144, levels=(8, 8, 8, 8, 8, 8))


def stats_of(*samples) -> Stats:
    stats = Stats()
    assert list(counted(samples, stats)) == list(samples)
    return stats


@pytest.mark.parametrize("tokenizer", [FSQ, LARGE], ids=["4096", "262144"])
def test_codes_are_counted(tokenizer) -> None:
    samples = [sample("one", SEGMENTS, tokenizer), sample("two", tokenizer=tokenizer)]
    stats = stats_of(*samples)
    expected = Counter(int(token) for each in samples for token in each.tokens.ravel())
    assert {code: int(stats.codes[code]) for code in np.flatnonzero(stats.codes)} == expected
    assert stats.keys == ["one", "two"]
    assert stats.column("latent_frames").tolist() == [5, 3]
    assert stats.column("frames").tolist() == [14, 9]
    assert stats.column("tokens").tolist() == [5 * 16, 3 * 16]
    assert stats.column("seconds").tolist() == [14 * FRAME / 1e9, 9 * FRAME / 1e9]


def test_channels_have_the_mean_and_deviation_of_all_latents() -> None:
    samples = [sample(key, ((count, 4 * count - 3),), KL) for key, count in [("a", 1), ("b", 7), ("c", 3)]]
    first, rest = stats_of(samples[0]), stats_of(*samples[1:])
    first.merge(rest)
    latents = np.concatenate([each.tokens.reshape(-1, 3) for each in samples]).astype(np.float64)
    np.testing.assert_allclose(first.means, latents.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(first.deviations, latents.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize("tokenizer", [FSQ, LARGE, KL], ids=["FSQ", "large", "KL"])
def test_files_of_shards_make_the_whole(tokenizer, tmp_path: Path) -> None:
    samples = [sample(key, tokenizer=tokenizer) for key in "abcde"]
    merged = Stats()
    for number_of, some in enumerate([samples[:2], [], samples[2:]]):
        stats_of(*some).save(tmp_path / f"{number_of}.npz")
        merged.merge(Stats.load(tmp_path / f"{number_of}.npz"))
    whole = stats_of(*samples)
    assert merged.keys == whole.keys and merged.tokenizer == whole.tokenizer
    np.testing.assert_array_equal(merged.column("motion"), whole.column("motion"))
    if tokenizer is KL:
        np.testing.assert_allclose(merged.means, whole.means, rtol=1e-12)
    else:
        np.testing.assert_array_equal(merged.codes, whole.codes)


def test_a_file_does_not_depend_on_the_clock(tmp_path: Path) -> None:
    stats_of(sample("a")).save(tmp_path / "one.npz")
    stats_of(sample("a")).save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.npz") as file:
        assert {each.date_time for each in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_damaged_and_missing_files_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "stats.npz"
    with pytest.raises(DatasetError, match="cannot be read"):
        Stats.load(path)
    stats_of(sample("a")).save(path)
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(DatasetError, match="stats.npz"):
            Stats.load(path)


def test_samples_of_two_tokenizers_are_not_added_up() -> None:
    with pytest.raises(DatasetError, match="two tokenizers"):
        stats_of(sample("a")).merge(stats_of(sample("b", tokenizer=replace(FSQ, digest="ff" * 32))))


def test_motion_is_the_share_of_tokens_that_change_within_segments() -> None:
    still = np.zeros((4, 2, 2), np.uint32)
    whole = np.array([[0, 4, 0, 13]])
    assert motion_of(still, whole) == 0
    moved = still.copy()
    moved[2, 0, 0] = 7  # one of four there, and one of four when it goes again
    assert motion_of(moved, whole) == (0 + 1 + 1) / 12
    # Between the segments, nothing counts.
    assert motion_of(moved, np.array([[0, 2, 0, 5], [2, 2, 5, 5]])) == 1 / 8
    assert math.isnan(motion_of(moved[:1], np.array([[0, 1, 0, 1]])))
    floats = np.array([[[[0.0, 1.0]]], [[[0.5, -1.0]]]], np.float32)
    assert motion_of(floats, np.array([[0, 2, 0, 5]])) == (0.5 + 2.0) / 2


def test_seconds_are_those_that_are_known() -> None:
    second = 1_000_000_000
    times = np.array([-1, 1, 2, 4, -1]) * second
    assert seconds_of(np.where(times < 0, -1, times), np.full(5, second // 2)) == 3.5
    assert seconds_of(np.array([-1, -1]), np.array([-1, -1])) == 0
    assert seconds_of(np.array([0, second]), np.array([-1, -1])) == 1


def test_digits_are_the_lowest_first() -> None:
    levels = (8, 5, 3)
    counts = np.random.default_rng(1).integers(0, 9, math.prod(levels))
    expected = [np.zeros(level, int) for level in levels]
    for code, count in enumerate(counts):
        expected[0][code % 8] += count
        expected[1][code // 8 % 5] += count
        expected[2][code // 40] += count
    for found, wanted in zip(digit_counts(counts, levels), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_entropy_is_in_bits() -> None:
    assert entropy(np.full(8, 5)) == 3
    assert entropy(np.array([0, 9, 0])) == 0
    assert entropy(np.zeros(4, int)) == 0
    assert entropy(np.array([2, 1, 1])) == pytest.approx(1.5)


def test_dead_codes_are_those_that_never_come() -> None:
    counts = np.zeros(64, np.int64)
    counts[[3, 5, 60]] = [4, 2, 2]
    found = codes(counts, (8, 8))
    assert (found["used"], found["dead"], found["dead_share"]) == (3, 61, 61 / 64)
    assert (found["bits"], found["most_bits"]) == (1.5, 6)
    assert found["most_frequent"] == [
        {"code": 3, "count": 4},
        {"code": 5, "count": 2},
        {"code": 60, "count": 2},
    ]
    assert found["by_rank"]["counts"] == [4, 2, 2] + [0] * 61
    # 60 is 4 + 7 · 8.
    assert found["digits"][0]["counts"] == [0, 0, 0, 4, 2, 2, 0, 0]
    assert found["digits"][1]["counts"] == [6, 0, 0, 0, 0, 0, 0, 2]


def test_histograms_have_round_edges_and_all_values() -> None:
    values = np.array([1.0, 2.5, 2.6, 7.0, np.nan])
    found = distribution(values, list("abcde"))
    assert (found["samples"], found["unknown"], found["beyond"]) == (4, 1, 0)
    assert sum(found["counts"]) == 4
    assert (found["least"], found["most"]) == ({"value": 1.0, "key": "a"}, {"value": 7.0, "key": "d"})
    steps = np.diff(found["edges"])
    np.testing.assert_allclose(steps, steps[0])
    assert steps[0] == pytest.approx(nice(steps[0]))
    assert distribution(np.full(3, np.nan), list("abc")) is None


@pytest.mark.parametrize("value", [0.0, 0.68, 5.0, 3600.0])
def test_samples_that_are_all_alike_have_a_histogram(value: float) -> None:
    found = distribution(np.full(9, value), list("abcdefghi"))
    assert sum(found["counts"]) == 9


def test_a_few_long_samples_do_not_hide_the_others() -> None:
    values = np.concatenate([np.linspace(2, 6, 999), [5000.0]])
    found = distribution(values, [str(at) for at in range(1000)])
    assert found["beyond"] == 1000 - sum(found["counts"]) > 0
    assert found["edges"][-1] < 10 and found["most"]["value"] == 5000


def test_scaling_is_a_triangle_as_wide_as_the_step() -> None:
    row = np.array([[10, 50, 90, 200]], np.uint8)
    picture = np.repeat(row[:, :, None], 3, axis=2)
    # Pixels of the source are 1/4, 1/4, 3/4 and 5/4 of two source pixels away from the first pixel's middle.
    first = (0.75 * 10 + 0.75 * 50 + 0.25 * 90) / 1.75
    last = (0.25 * 50 + 0.75 * 90 + 0.75 * 200) / 1.75
    np.testing.assert_array_equal(scaled(picture, (2, 1))[0, :, 0], [round(first), round(last)])
    flat = np.full((7, 9, 3), 77, np.uint8)
    assert (scaled(flat, (23, 5)) == 77).all()


def test_pictures_are_cut_and_padded_as_vidtokenc_does() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (10, 21, 3), np.uint8)
    # 11 columns are too many, and round(5.5) is 6.
    np.testing.assert_array_equal(fitted(picture, (10, 10), "crop", True), picture[:, 6:16])
    padded = fitted(picture, (21, 15), "pad", True)
    np.testing.assert_array_equal(padded[2:12], picture)
    assert not padded[:2].any() and not padded[12:].any()
    assert fitted(picture, (7, 30), "stretch", True).shape == (30, 7, 3)
    # VidTok would make it 10 high, which is too narrow: it is made just large enough.
    np.testing.assert_array_equal(fitted(picture, (30, 10), "crop", True), scaled(picture, (30, 14))[2:12])


def test_pictures_are_turned_as_their_tag_says() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3, 1).repeat(3, axis=2)
    assert turned(picture, "rotate-90")[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert turned(picture, "rotate-270")[..., 0].tolist() == [[2, 5], [1, 4], [0, 3]]
    assert turned(picture, "rotate-180")[..., 0].tolist() == [[5, 4, 3], [2, 1, 0]]
    assert turned(picture, "flip-rotate-0")[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert turned(picture, "sideways")[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_psnr_is_that_of_bytes() -> None:
    black, grey = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 51, np.uint8)
    # A fifth of the range: 20 · log10(5).
    assert psnr(squared_error(black, grey)) == pytest.approx(20 * math.log10(5))
    assert psnr(squared_error(grey, grey)) == 120


def test_tokens_have_the_colours_of_their_digits() -> None:
    # The digits 7, 0, 7, 0, 7 from the lowest up. Red: digits 0 and 3; green: 1 and 4; blue: 2.
    index = np.array([[7 + 7 * 64 + 7 * 4096]])
    assert token_colours(index, [8] * 5).tolist() == [[[128, 128, 255]]]
    assert token_colours(np.array([[1]]), [2]).tolist() == [[[255, 0, 0]]]
    latents = np.array([[[3.0, 0.0, -9.0, 3.0]]], np.float32)
    assert token_colours(latents, None).tolist() == [[[255, 128, 0]]]


def test_numbers_are_easy_to_read() -> None:
    assert [number(value) for value in (0, 999, 1_425_408)] == ["0", "999", "1\u202f425\u202f408"]
    assert [short(value) for value in (0.25, 12_500, 3_000_000_000)] == ["0.25", "12.5\u202fk", "3\u202fG"]


def report_of(tokenizer, count: int = 12) -> dict:
    """The report of a made-up data set, with long names and many reasons, and no examples."""
    samples = [sample(f"a_rather_long_name_of_a_clip-{at:05d}", tokenizer=tokenizer) for at in range(count)]
    clips = [Clip(key=each.key, path=f"/videos/{'long' * 40}/{each.key}.mp4") for each in samples]
    plan = Plan(options=Options(), layout="vidtok", layout_options={}, clips_per_shard=100, clips=tuple(clips))
    damage = {"messages": 3, "first": ["no " + "&<word>" * 40], "ends_at": 1.5, "should_end_at": 9.0}
    entries = [{"clip": asdict(clip), "tokenized": {"pixels": None}, "samples": 1} for clip in clips]
    manifest = {
        "clips": count,
        "samples": count,
        "seconds": 7200.0,
        "skipped": [{"key": "k", "path": f"/{at}/x.mp4", "reason": f"reason <{at % 3}>"} for at in range(100)],
        "damaged": [{"key": "k", "path": clips[0].path} | damage],
        "files": [{"path": "x", "bytes": 123, "sha256": ""}],
    }
    report = numbers("made-up", plan, manifest, stats_of(*samples), entries)
    return report | {"examples": {"how": "", "problem": None, "psnr": None, "clips": []}}


def test_a_report_of_latents_has_what_a_trainer_scales_by() -> None:
    report = report_of(KL)
    text = page(report, [])
    assert report["codes"] is None and len(report["channels"]) == 3
    for channel in report["channels"]:
        assert f"{channel['mean']:.4f}" in text and f"{channel['deviation']:.4f}" in text
    assert (report["lengths"]["least"]["value"], report["motion"]["samples"]) == (9 * FRAME / 1e9, 12)


def test_reasons_are_grouped_and_the_names_are_few() -> None:
    report = report_of(FSQ)
    # 34, 33 and 33 of 100.
    assert [each["clips"] for each in report["skipped"]] == [34, 33, 33]
    assert all(len(each["paths"]) == 20 for each in report["skipped"])
    assert report["counts"]["skipped"] == 100
    text = page(report, [])
    assert "and 14 more" in text and "<word>" not in text and "reason <0>" not in text


def test_a_large_codebook_has_a_short_report() -> None:
    report = report_of(LARGE)
    assert report["codes"]["size"] == 262144 and len(report["codes"]["digits"]) == 6
    assert len(json.dumps(report)) < 50_000 and len(page(report, [])) < 100_000
    # 12 samples of 3 latent frames of 16 tokens, and hardly a code twice.
    assert report["codes"]["dead_share_if_even"] == pytest.approx((1 - 1 / 262144) ** 576)
