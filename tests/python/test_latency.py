"""The measurement of latency: its numbers come back from pictures, its arithmetic is right, and it runs."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from golden import ROOT

FOLDER = ROOT / "benches" / "latency"
sys.path.append(str(FOLDER))

import cells  # noqa: E402
import latency_options  # noqa: E402
import latency_summary as summary  # noqa: E402

MS = 10**6
GREY = bytes([128]) * cells.WIDTH * cells.HEIGHT * 3


def test_each_number_has_its_own_cells() -> None:
    assert len({tuple(cells.bits(number)) for number in range(cells.NUMBERS)}) == cells.NUMBERS
    assert all(cells.number(cells.bits(number)) == number for number in range(0, cells.NUMBERS, 7))


def test_one_cell_changes_at_a_time_and_none_twice_within_four_frames() -> None:
    changes = []
    for one, next_one in itertools.pairwise(map(cells.bits, range(cells.NUMBERS))):
        changed = [place for place, (a, b) in enumerate(zip(one, next_one, strict=True)) if a != b]
        # The Gray code changes along with the counter's start.
        assert changed and len(changed) <= 2
        changes.append(set(changed))
    assert all(not set.intersection(*pair) for t in range(1, 4) for pair in zip(changes, changes[t:], strict=False))


@pytest.mark.parametrize("number", [0, 1, 7, 8, 1234, cells.NUMBERS - 1])
def test_a_number_comes_back_from_a_picture(number: int) -> None:
    picture = cells.draw(GREY, cells.WIDTH, number)
    assert cells.read(picture[1:], cells.WIDTH * 3, 3) == number
    # A luma plane: every third byte.
    assert cells.read(picture[::3], cells.WIDTH, 1) == number


def test_a_picture_without_a_clear_number_is_not_read() -> None:
    assert cells.read(GREY[1:], cells.WIDTH * 3, 3) is None
    # A state that no counter has: a cell and its complement changed places.
    broken = cells.bits(2)
    broken[2] = 1 - broken[2]
    broken[0] = 1 - broken[0]
    assert cells.number(broken) is None


@pytest.mark.parametrize(
    "option", ["--latency=-5", "--key-interval=-1", "--seconds=0", "--size=128x128", "--coders=vp8"]
)
def test_an_option_that_cannot_be_is_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        latency_options.parse([option])
    assert option.partition("=")[0] in capsys.readouterr().err
    parsed = latency_options.parse(["--latency=0", "--key-interval=0"])
    assert (parsed.latency, parsed.key_interval) == (0, 0)


def run_of_four(numbers: list[int | None]) -> tuple[dict[str, object], dict[str, object]]:
    """Four frames, 10 ms apart, that are encoded 5 ms after the last, and shown 30, 31, … ms after it."""
    captured = [number * 10 * MS for number in range(4)]
    sent = {"captured": captured, "encoded": [(35 * MS, 0, 4)]}
    shown = [(number, 36 * MS, 50 * MS, (60 + place) * MS) for place, number in enumerate(numbers)]
    return sent, {"shown": shown}


def test_a_picture_takes_the_sum_of_its_parts() -> None:
    figures = summary.figures(*run_of_four([0, 1, 2, 3]), settle=0)
    assert [picture.total for picture in figures.pictures] == [60, 51, 42, 33]
    assert [picture.ahead for picture in figures.pictures] == [3, 2, 1, 0]
    assert figures.pictures[0].parts == {"wait": 30, "encode": 5, "network": 1, "decode": 14, "show": 10}
    assert (figures.sent, figures.missing, figures.unread) == (4, 0, 0)
    assert figures.intervals == [1, 1, 1]


def test_what_is_lost_unread_or_read_twice_does_not_count() -> None:
    figures = summary.figures(*run_of_four([0, None, 3, 3]), settle=0)
    assert [picture.total for picture in figures.pictures] == [60]
    assert (figures.sent, figures.missing, figures.unread) == (4, 3, 3)
    assert summary.figures(*run_of_four([0, 1, 2, 3]), settle=2).sent == 2


def test_percentiles() -> None:
    assert summary.percentile(range(1, 101), 99) == 99
    assert summary.percentile([5], 99) == 5
    assert summary.percentile([1, 2], 50) == 1


def measure(*options: str) -> subprocess.CompletedProcess[str]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    # The tests' modules are not for this Python, which has GStreamer.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = ["/usr/bin/python3", str(FOLDER / "measure.py"), *options]
    return subprocess.run(
        command, env=own | {"GST_PLUGIN_PATH": str(target / "debug")}, timeout=120, capture_output=True, text=True
    )


def test_a_property_that_is_not_there_is_an_error_of_two_lines(tmp_path: Path) -> None:
    done = measure("--turns=1", "--coders=tokens", "--encoder=nonsense=1", f"--output={tmp_path}")
    assert done.returncode != 0
    *_, reason, summed_up = done.stderr.splitlines()
    assert 'no property "nonsense" in element "vidtokenc"' in reason
    assert summed_up == "tokens at-once: the sender failed"


def test_pictures_are_measured_from_end_to_end(tmp_path: Path) -> None:
    done = measure(
        "--turns=1", "--seconds=3", "--settle=2", "--size=256x128", "--paces=at-once", f"--output={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    series = json.loads((tmp_path / "latency.json").read_text())["series"]
    tokens, h264 = series["tokens at-once"], series["x264 at-once"]
    # Busy machines lose some frames. Numbers that are misread would be unread.
    for row in (tokens, h264):
        assert row["sent"] == 90 and row["pictures"] >= 60 and row["unread"] <= 2, row
    # A latent frame's first picture waits for three more. The camera may be late for it.
    late = tokens["sender"]["camera-late-ms-p99"]
    for ahead, p50 in tokens["ahead-p50"].items():
        assert p50 >= int(ahead) * 1000 / 30 - late, tokens
    assert set(tokens["ahead-p50"]) == {"0", "1", "2", "3"} and set(h264["ahead-p50"]) == {"0"}
    assert 50 - late <= tokens["p50"] <= 2000, tokens
    assert 0 < h264["p50"] <= 1000, h264
