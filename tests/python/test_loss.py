"""The measurement of packet loss: its lines lose what they promise, its arithmetic is right, and it runs."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import pytest

from golden import ROOT

FOLDER = ROOT / "benches" / "loss"
sys.path.append(str(FOLDER))

import conceal  # noqa: E402
import loss_options  # noqa: E402
import quality  # noqa: E402
import summary  # noqa: E402
import sweep  # noqa: E402
from bitrate import matching  # noqa: E402
from channel import Line, lost_packets  # noqa: E402
from quality import TOLERANCE, shown  # noqa: E402
from summary import Point, Series  # noqa: E402

MANY = 400_000
MS = 10**6


def losses(line: Line, seed: str = "a") -> list[bool]:
    return list(islice(line.losses(seed), MANY))


def bursts(lost: list[bool]) -> list[int]:
    return [len(list(run)) for bad, run in groupby(lost) if bad]


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("burst", [None, 3.0, 8.0])
def test_a_line_loses_the_share_that_it_promises(rate: float, burst: float | None) -> None:
    # A burst counts as one loss of its length, so the share varies as that of MANY / burst packets.
    deviation = math.sqrt(rate * (1 - rate) / MANY * 2 * (burst or 1))
    assert sum(losses(Line(rate, burst))) / MANY == pytest.approx(rate, abs=5 * deviation)


@pytest.mark.parametrize("burst", [1.5, 3.0, 8.0])
def test_bursts_have_the_mean_length_that_they_promise(burst: float) -> None:
    lengths = bursts(losses(Line(0.1, burst)))
    deviation = math.sqrt(burst * (burst - 1) / len(lengths))
    assert sum(lengths) / len(lengths) == pytest.approx(burst, abs=5 * deviation)


def test_random_losses_come_independently() -> None:
    # Then a run of losses has a mean length of 1 / (1 - rate).
    lengths = bursts(losses(Line(0.2)))
    assert sum(lengths) / len(lengths) == pytest.approx(1.25, abs=0.02)


@pytest.mark.parametrize("line", [Line(0.1), Line(0.1, 3)], ids=["random", "bursts"])
def test_a_seed_decides_what_is_lost(line: Line) -> None:
    assert losses(line, "a") == losses(line, "a")
    assert losses(line, "a") != losses(line, "b")


def test_a_line_without_loss_loses_nothing() -> None:
    assert not any(losses(Line(0)))


def test_protected_packets_arrive() -> None:
    lost = lost_packets(Line(0.5), "a", packets=1000, protected=100)
    assert lost and min(lost) >= 100 and max(lost) < 1000


@pytest.mark.parametrize(("rate", "burst"), [(1, None), (-0.1, None), (0.1, 0.5), (0.8, 3)])
def test_a_line_that_cannot_be_is_refused(rate: float, burst: float | None) -> None:
    with pytest.raises(ValueError):
        Line(rate, burst)


def test_a_short_clip_runs_back_and_forth() -> None:
    assert list(sweep.back_and_forth(3, 8)) == [0, 1, 2, 1, 0, 1, 2, 1]
    assert list(sweep.back_and_forth(1, 3)) == [0, 0, 0]
    assert list(sweep.back_and_forth(5, 3)) == [0, 1, 2]


def test_a_picture_is_seen_until_the_next_one_comes() -> None:
    times = [0, 33 * MS, 67 * MS, 100 * MS, 133 * MS]
    seen = shown([(33 * MS, b"a"), (100 * MS + TOLERANCE, b"b")], times, empty=b"-")
    assert seen.pictures == [b"-", b"a", b"a", b"b", b"b"]
    assert seen.frames == 2 and not seen.faults


def test_frames_at_other_times_are_faults() -> None:
    times = [0, 33 * MS, 67 * MS]
    shifted = shown([(0, b"a"), (34 * MS, b"b")], times, empty=b"-")
    assert len(shifted.faults) == 1 and shifted.pictures == [b"a", b"a", b"a"]
    assert len(shown([(33 * MS, b"a"), (0, b"b")], times, empty=b"-").faults) == 1
    assert len(shown([(33 * MS, b"a"), (33 * MS, b"b")], times, empty=b"-").faults) == 1
    assert len(shown([(100 * MS, b"a")], times, empty=b"-").faults) == 1


def test_quality_is_the_mean_over_frames(tmp_path: Path) -> None:
    size = 16
    original = tmp_path / "original.rgb"
    original.write_bytes(bytes([100]) * size * size * 3 * 3)
    # Frames that are off by 0, 5 and 10 levels everywhere.
    pictures = [bytes([100 + off]) * size * size * 3 for off in (0, 5, 10)]
    figures = quality.measure(pictures, original, size)
    expected = (quality.EQUAL + 20 * math.log10(255 / 5) + 20 * math.log10(255 / 10)) / 3
    assert figures.psnr == pytest.approx(expected, abs=0.01)
    assert 0.98 < figures.ssim < 1


def test_missing_figures_are_noticed() -> None:
    with pytest.raises(RuntimeError):
        quality.read("n:1 mse_avg:1.00 psnr_avg:48.13 \nn:1 Y:0.9 All:0.9 (1.0)\n", frames=2)


def run(**changes: object) -> dict[str, object]:
    series = {"coder": "tokens", "key-interval": 0, "fec": 0, "clip": "a"}
    line = {"rate": 0.1, "burst": None, "seed": 0}
    figures = {"psnr": 30.0, "frames": 9, "arrived": 9, "lost": 1, "faults": [], "bytes": 1500, "resident-kib": 1000}
    return series | line | figures | changes


def test_a_point_has_the_spread_of_seeds_over_means_of_clips() -> None:
    runs = [
        run(seed=seed, clip=clip, psnr=psnr)
        for seed, clip, psnr in ((0, "a", 20), (0, "b", 30), (1, "a", 24), (1, "b", 34))
    ]
    runs += [run(rate=0, psnr=40), run(burst=3, psnr=1), run(fec=50, psnr=2)]
    curve = summary.curve(runs, Series("tokens", 0, 0), None, "psnr")
    assert curve == [Point(0, 40, 40, 40), Point(0.1, 27, 25, 29)]


def test_bit_rates_count_all_packets() -> None:
    runs = [run(), run(seed=1), run(clip="b", bytes=2500), run(fec=50, bytes=1)]
    # Means of 2,000 bytes in 10 frames of a thirtieth second.
    assert summary.kbits(runs, Series("tokens", 0, 0), frames=10, frame_rate=30) == pytest.approx(48)


def test_a_bit_rate_is_found() -> None:
    assert matching(60_000, 100, lambda rate: 300 * rate + 15_000) == pytest.approx(150, abs=2)
    # An encoder that cannot go lower.
    assert matching(100, 50, lambda rate: max(2000, 10 * rate)) >= 1


def test_what_must_not_happen_is_found() -> None:
    assert not sweep.faults([run(), run(rate=0, lost=0)], frames=9)
    assert len(sweep.faults([run(frames=8)], frames=9)) == 1
    assert len(sweep.faults([run(frames=10)], frames=9)) == 1
    assert not sweep.faults([run(frames=8, arrived=8)], frames=9)
    assert len(sweep.faults([run(faults=["late"])], frames=9)) == 1
    assert not sweep.faults([run(coder="h264", frames=8)], frames=9)
    assert len(sweep.faults([run(coder="h264", frames=8, lost=0)], frames=9)) == 1
    sizes = (0, 0, 100, 100 + sweep.GROWTH_KIB + 1)
    assert len(sweep.faults([run(**{"resident-kib": size}) for size in sizes], frames=9)) == 1


def test_a_process_that_ends_early_is_a_fault(tmp_path: Path) -> None:
    job = {"coder": "tokens", "key-interval": 0, "fec": 0, "clip": "a", "lines": [({"rate": 0, "burst": None}, 0)]}
    [failed] = sweep.work(job, tmp_path / "log")
    assert sweep.faults([failed], frames=9)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_cells_are_concealed_as_the_names_say() -> None:
    fills = conceal.Fills([8, 8, 8, 8, 8])
    # Levels of 2 and 6 in turn, row by row; every other row is missing. Before, all levels were 1.
    two, six, four, one = (sum(level * 8**digit for digit in range(5)) for level in (2, 6, 4, 1))
    rows = np.arange(conceal.GRID)[:, None]
    tokens = np.where(rows % 4 == 0, two, six) + np.zeros((conceal.GRID, conceal.GRID), int)
    missing = np.broadcast_to(rows % 2 == 1, tokens.shape)
    before = np.full_like(tokens, one)
    for fill, expected in ((fills.colocated, one), (fills.neighbours, four)):
        filled = fill(tokens, missing, before)
        assert (filled[~missing] == tokens[~missing]).all()
        # The last row has no neighbour below.
        assert (filled[1:-1:2] == expected).all()


def test_the_layouts_share_out_all_cells() -> None:
    for name, cells in conceal.LAYOUTS.items():
        parts = [cells(part) for part in (0, 1)]
        assert (parts[0] ^ parts[1]).all(), name
        assert parts[0].sum() == conceal.GRID**2 // (1 if name == "whole latent frame" else 2)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict]]:
    """Runs lines of 0 and 20% over a made-up clip of 21 frames, without and with repair data."""
    folder = tmp_path_factory.mktemp("loss")
    clips, plugins = folder / "clips", folder / "plugins"
    clips.mkdir()
    plugins.mkdir()
    source = "videotestsrc pattern=ball num-buffers=9 ! video/x-raw,width=128,height=96,framerate=30/1"
    make = f"{source} ! videoconvert ! x264enc ! matroskamux ! filesink location={clips}/ball.mkv"
    subprocess.run(["gst-launch-1.0", "-q", *make.split()], check=True, timeout=20)
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
    (plugins / built.name).symlink_to(built)
    environment = os.environ | {"GST_PLUGIN_PATH": str(plugins), "GST_REGISTRY": str(folder / "registry.bin")}
    # The 144 cells of a picture are two packets. With smaller pictures, x264 has too few bits to show anything.
    few = "--size 96 --frames 21 --mtu 220 --seeds 1 --rates 0,20 --key-intervals 8 --fec-key-intervals 8 --fec 100"

    def sweep_clips(*more: str) -> list[dict]:
        command = ["/usr/bin/python3", FOLDER / "sweep.py", clips, "--output", folder / "results", *few.split(), *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(Path(done.stdout.strip()).read_text())["runs"]

    return sweep_clips


def test_every_coder_runs(swept: Callable[..., list[dict]]) -> None:
    # RaptorQ's elements are in no package of Debian 12: benches/loss.sh builds them.
    coders = [coder for coder in loss_options.CODERS if coder != "tokens-raptorq"]
    runs = swept("--coders", ",".join(coders))
    # One line without loss, one random, one in bursts, for each coder, and those with repair data.
    assert len(runs) == 3 * (len(coders) + 2)
    for coder in coders:
        clean, *lossy = [run for run in runs if run["coder"] == coder and not run["fec"]]
        assert clean["frames"] == 21 and not clean["lost"]
        assert any(run["lost"] for run in lossy)
        assert min(run["psnr"] for run in lossy) < clean["psnr"] - 1


def test_a_real_jitter_buffer_gives_the_same_pictures(swept: Callable[..., list[dict]]) -> None:
    figures = ("fec", "burst", "rate", "lost", "frames", "psnr", "ssim")
    stood_for, real = (
        [[run[name] for name in figures] for run in swept("--coders", "tokens", *options)]
        for options in ((), ("--jitter-buffer",))
    )
    assert stood_for == real
    assert any(run[figures.index("lost")] for run in real)
