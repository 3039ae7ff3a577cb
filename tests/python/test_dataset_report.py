"""`vidtok-dataset-report`: its numbers are those of the tokens, and its page is one safe file."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset import PYTHON, SIZE, Program, make_video, manifest, tokens
from golden import ROOT

CODEBOOK, LEVELS = 32768, (8,) * 5  # of the built-in tokenizer
HOSTILE = '"><img src=x onerror=alert(1)>&amp;<script>alert(2)'
ARGUMENTS = ("--layout", "webdataset", "--clips-per-shard", "2")
LOADED = ("src", "href", "srcset", "data", "poster", "action", "background")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program.new(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    make_video(folder / "moves.mp4", frames=30)
    make_video(folder / "still.mp4", frames=21, source="smptebars")
    make_video(folder / f"{HOSTILE}.mkv", frames=13, source="mandelbrot")
    turned = make_video(folder / "turned.mp4", frames=9)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(turned), "-metadata:s:v:0", "rotate=90", "-c", "copy"]
    subprocess.run([*command, str(folder / "again.mp4")], check=True, timeout=60)
    (folder / "again.mp4").replace(turned)
    (folder / f"{HOSTILE}.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is no video.\n" * 20)
    return folder


@pytest.fixture(scope="module")
def made(program: Program, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with its report."""
    folder = tmp_path_factory.mktemp("made") / "set & <b>more"
    said = program.run(videos, "--out", folder, *ARGUMENTS, "--report")
    assert str(folder / "report.html") in said
    return folder


def report(program: Program, *arguments: str | Path, status: int = 0) -> str:
    """What `vidtok-dataset-report` prints."""
    command = [PYTHON, "-m", "vidtok_dataset.report", *map(str, arguments)]
    pipes: dict[str, Any] = {"capture_output": True, "text": True}
    done = subprocess.run(command, env=program.environment(), cwd=program.folder, timeout=120, **pipes)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def numbers(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text("utf-8"))


def bits(counts: np.ndarray) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float((shares * np.log2(1 / shares)).sum())


def test_counts_are_those_of_the_files(made: Path) -> None:
    counts, found = numbers(made)["counts"], tokens(made)
    assert counts["tokens"] == sum(each.size for each in found.values())
    assert counts["latent_frames"] == sum(len(each) for each in found.values())
    assert (counts["clips_planned"], counts["clips"], counts["samples"]) == (6, 4, 4)
    assert (counts["frames"], counts["skipped"], counts["damaged"]) == (30 + 21 + 13 + 9, 2, 0)
    assert counts["hours"] == pytest.approx((30 + 21 + 13 + 9) / 25 / 3600, abs=1e-6)
    assert counts["bytes"] == sum(path.stat().st_size for path in made.glob("shard-*.tar"))


def test_codebook_use_is_that_of_the_tokens(made: Path) -> None:
    codes = numbers(made)["codes"]
    values, counts = np.unique(np.concatenate([each.ravel() for each in tokens(made).values()]), return_counts=True)
    assert (codes["size"], codes["used"], codes["dead"]) == (CODEBOOK, len(values), CODEBOOK - len(values))
    assert codes["bits"] == pytest.approx(bits(counts)) and codes["most_bits"] == 15
    assert codes["perplexity"] == pytest.approx(2 ** bits(counts))
    order = np.lexsort((values, -counts))[:10]
    expected = [{"code": int(values[at]), "count": int(counts[at])} for at in order]
    assert codes["most_frequent"] == expected
    ranked = np.concatenate([np.sort(counts)[::-1], np.zeros(CODEBOOK - len(values), int)])
    assert codes["by_rank"]["counts"] == ranked[np.array(codes["by_rank"]["ranks"]) - 1].tolist()
    for at, digit in enumerate(codes["digits"]):
        wanted = np.bincount(values // 8**at % 8, counts, minlength=8).astype(int)
        assert digit["counts"] == wanted.tolist() and digit["bits"] == pytest.approx(bits(wanted))
    assert len(codes["digits"]) == len(LEVELS)


def test_motion_and_lengths_are_those_of_the_samples(made: Path) -> None:
    report, found = numbers(made), tokens(made)
    motion = {key: (each[1:] != each[:-1]).mean() for key, each in found.items()}
    assert report["motion"]["mean"] == pytest.approx(np.mean(list(motion.values())))
    assert report["motion"]["most"]["value"] == pytest.approx(max(motion.values()))
    assert report["motion"]["least"]["key"] == min(motion, key=motion.__getitem__) == "still"
    assert sum(report["motion"]["counts"]) == sum(report["lengths"]["counts"]) == len(found)
    assert report["lengths"]["most"] == {"value": pytest.approx(30 / 25), "key": "moves"}


def test_failures_are_grouped_by_their_reason(made: Path) -> None:
    skipped = {path: each["reason"] for each in numbers(made)["skipped"] for path in each["paths"]}
    assert skipped == {each["path"]: each["reason"] for each in manifest(made)["skipped"]}


def test_psnr_is_that_of_the_decoded_tokens(program: Program, videos: Path, made: Path, tmp_path: Path) -> None:
    """Measured again with FFmpeg's frames, whose conversion to RGB is slightly another."""
    line = f"filesrc location={videos}/moves.mp4 ! decodebin ! vidtokenc ! vidtokdec ! video/x-raw,format=RGB"
    line += f" ! filesink location={tmp_path}/decoded.rgb"
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=program.environment(), check=True, timeout=60)
    command = f"ffmpeg -v error -i {videos}/moves.mp4 -pix_fmt rgb24 -f rawvideo {tmp_path}/original.rgb"
    subprocess.run(command.split(), check=True, timeout=60)
    one, other = (np.fromfile(tmp_path / name, np.uint8).astype(float) for name in ("decoded.rgb", "original.rgb"))
    [clip] = [clip for clip in numbers(made)["examples"]["clips"] if clip["key"] == "moves"]
    assert clip["frames"] == 30 and (clip["width"], clip["height"]) == SIZE
    assert clip["psnr"] == pytest.approx(10 * np.log10(255**2 / np.square(one - other).mean()), abs=0.7)
    measured = [clip["psnr"] for clip in numbers(made)["examples"]["clips"]]
    assert len(measured) == 4
    assert numbers(made)["examples"]["psnr"] == pytest.approx(np.mean(measured))


def test_a_turned_video_is_compared_upright(made: Path) -> None:
    """Its frames are those of another video, turned: compared lying, nothing would fit."""
    clips = {clip["key"]: clip for clip in numbers(made)["examples"]["clips"]}
    assert (clips["turned"]["width"], clips["turned"]["height"]) == SIZE[::-1]
    assert clips["turned"]["psnr"] > clips["moves"]["psnr"] - 3


class Page(HTMLParser):
    """Elements that are open, and what would be loaded."""

    VOID = ("meta", "link", "img", "br", "line", "rect", "polyline", "polygon")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in LOADED]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_whole_and_loads_nothing(made: Path) -> None:
    text = (made / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.open
    assert page.loads and all(load.startswith("data:") for load in page.loads)
    assert not re.search(r"https?://|@import|url\(", text)
    assert not page.tags & {"script", "iframe", "object", "embed", "form"}
    # Two moments of four clips, with three pictures each.
    assert sum(load.startswith("data:image/jpeg") for load in page.loads) == 16
    assert sum(load.startswith("data:image/png") for load in page.loads) == 8


def test_names_of_files_are_text(made: Path) -> None:
    text = (made / "report.html").read_text("utf-8")
    page = Page(text)
    assert not page.handlers
    assert HOSTILE not in text and html.escape(HOSTILE) in text
    said = "".join(page.text)
    assert f"{HOSTILE}.mp4" in said and "set & <b>more" in said


@pytest.mark.parametrize(
    ("options", "frames", "size"),
    [
        # Of two seconds at 25 frames per second, beginning with the one at 0.6 s.
        ((), 50, SIZE),
        (("--fps", "5"), 10, SIZE),
        (("--frame-interval", "3"), 17, SIZE),
        (("--size", "24"), 50, (32, 24)),
        (("--size", "40x48", "--fit", "pad"), 50, (40, 48)),
        (("--window", "13"), 50, SIZE),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_frames_are_compared_with_those_that_were_tokenized(
    program: Program, tmp_path: Path, options: tuple[str, ...], frames: int, size: tuple[int, int]
) -> None:
    video = make_video(tmp_path / "video.mp4", frames=75)
    (tmp_path / "parts.jsonl").write_text(json.dumps({"path": str(video), "start": 0.6}))
    program.run(tmp_path / "parts.jsonl", "--out", tmp_path / "set", *ARGUMENTS, *options, "--report")
    [clip] = numbers(tmp_path / "set")["examples"]["clips"]
    assert (clip["problem"], clip["frames"]) == (None, frames)
    assert (clip["width"], clip["height"]) == size
    assert clip["moments"][0]["seconds"] == pytest.approx(0.6)


def test_a_video_that_is_gone_or_another_is_said(program: Program, videos: Path, made: Path, tmp_path: Path) -> None:
    for name in ("moves", "still"):
        shutil.copy(videos / f"{name}.mp4", tmp_path)
    folder = tmp_path / "set"
    program.run(tmp_path / "moves.mp4", tmp_path / "still.mp4", "--out", folder, *ARGUMENTS)
    (tmp_path / "moves.mp4").unlink()
    shutil.copy(videos / "turned.mp4", tmp_path / "still.mp4")
    report(program, folder)
    problems = [clip["problem"] for clip in numbers(folder)["examples"]["clips"]]
    assert "not there" in problems[0] and "another one" in problems[1]
    assert numbers(folder)["examples"]["psnr"] is None
    text = (folder / "report.html").read_text("utf-8")
    assert all(html.escape(problem) in text for problem in problems)


def test_the_same_data_set_has_the_same_report(program: Program, made: Path) -> None:
    before = (made / "report.html").read_bytes(), (made / "report.json").read_bytes()
    report(program, made)
    assert ((made / "report.html").read_bytes(), (made / "report.json").read_bytes()) == before


def test_without_examples_it_needs_no_gstreamer(made: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(made, tmp_path / "copy", ignore=shutil.ignore_patterns("report.*", "*.tar"))
    code = "import sys; sys.modules['gi'] = None; from vidtok_dataset.report import main; sys.exit(main())"
    command = [sys.executable, "-c", code, str(folder), "--clips", "0"]
    path = os.pathsep.join(str(ROOT / each) for each in ("dataset", "python"))
    subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, check=True, timeout=60)
    assert numbers(folder) | {"name": "", "examples": {}} == numbers(made) | {"name": "", "examples": {}}
    assert numbers(folder)["examples"]["clips"] == []


def test_a_data_set_without_samples_has_a_report(program: Program, tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    folder = tmp_path / "set"
    program.run(tmp_path / "empty.mp4", "--out", folder, *ARGUMENTS, "--report")
    assert numbers(folder)["counts"]["tokens"] == 0 and numbers(folder)["codes"] is None
    assert not Page((folder / "report.html").read_text("utf-8")).open


def test_a_folder_without_a_finished_data_set_is_an_error(program: Program, videos: Path, tmp_path: Path) -> None:
    assert "no finished data set" in report(program, tmp_path, status=1)
    assert not list(tmp_path.iterdir())
    assert "no finished data set" in report(program, tmp_path / "none", status=1)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_anything_wider_than_the_window(made: Path, tmp_path: Path, width: int) -> None:
    inner = html.escape((made / "report.html").read_text("utf-8"))
    measure = """
      const inside = document.querySelector("iframe").contentDocument;
      const wide = inside.documentElement.clientWidth;
      const boxes = [...inside.body.querySelectorAll("*")].map((each) => each.getBoundingClientRect().right);
      const shown = [...inside.images].filter((each) => each.naturalWidth).length;
      document.title = [wide, inside.documentElement.scrollWidth, Math.max(...boxes), shown].join(" ");"""
    frame = f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{inner}"></iframe>'
    outer = f"<!DOCTYPE html><title></title>{frame}"
    (tmp_path / "outer.html").write_text(f"{outer}<script>onload = () => {{{measure}}}</script>", "utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "outer.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    found = re.search(r"<title>([\d. ]+)</title>", done.stdout)
    assert found, done.stderr[-2000:]
    wide, scrolled, right, pictures = map(float, found[1].split())
    assert width - 20 <= wide <= width
    assert scrolled <= wide and right <= wide + 1
    assert pictures == 24
