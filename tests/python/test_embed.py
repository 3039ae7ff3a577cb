"""The examples of programs that embed the elements: C and Python. `tests/embed.rs` has the one in Rust."""

import re
from pathlib import Path

import numpy as np
import pytest

from programs import CLIP, EXAMPLES, PYTHON, ROOT, fail, succeed


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled by the line that its comment has."""
    found = re.search(r"^ \*\s+(cc .*)$", (EXAMPLES / "embed.c").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    path = tmp_path_factory.mktemp("embed") / "embed"
    line = found[1].replace("-o embed", f"-Werror -o {path}").replace("examples/", f"{EXAMPLES}/")
    succeed("bash", "-c", line)
    return path


def test_the_c_program_prints_the_tokens_of_each_latent_frame(program: Path, tmp_path: Path) -> None:
    raw = tmp_path / "tokens.u16"
    line = (
        f"filesrc location={CLIP} ! decodebin ! vidtokenc ! video/x-vidtok,stream-format=raw ! filesink location={raw}"
    )
    succeed("gst-launch-1.0", "-q", *line.split())
    # 384×288 pixels in cells of 8×8; one frame, then 72 in groups of 4.
    tokens = np.fromfile(raw, "<u2").reshape(19, 36 * 48)
    expected = [f"{frame.size} tokens: {' '.join(map(str, frame[:4]))} ..." for frame in tokens]
    assert succeed(program, CLIP).splitlines() == expected


@pytest.mark.parametrize(("name", "words"), [("README.md", "text file"), ("nothing.mp4", "Resource not found")])
def test_the_c_program_says_what_is_wrong(program: Path, name: str, words: str) -> None:
    said = fail(program, EXAMPLES / name)
    assert said.startswith(f"embed: {EXAMPLES / name}: ") and words in said


# Rows without and with padding; a last group that is full, and one that is not.
@pytest.mark.parametrize(("size", "frames", "out"), [("256x192", 9, 9), ("101x64", 7, 9)])
def test_pictures_survive_the_python_program(size: str, frames: int, out: int) -> None:
    printed = succeed(PYTHON, EXAMPLES / "embed.py", "--size", size, "--frames", str(frames))
    width, height = map(int, size.split("x"))
    grid = (1, -(-height // 8), -(-width // 8))
    assert f"tokens {[grid] * 3}," in printed
    assert f"pictures ({height}, {width}, 3): {frames} in, {out} out" in printed
    # Waves this long are easy for any tokenizer that works.
    found = re.search(r"PSNR ([\d.]+) dB", printed)
    assert found and float(found[1]) > 26


@pytest.mark.parametrize("option", ["--size=0x16", "--size=16", "--size=-5x9", "--frames=0"])
def test_pictures_of_nothing_are_refused(option: str) -> None:
    assert "embed.py: error: --size" in fail(PYTHON, EXAMPLES / "embed.py", option)


def test_the_python_program_passes_on_what_the_element_says() -> None:
    code = (
        "import sys; sys.path.append('examples'); import embed, numpy; embed.Gst.init(None)\n"
        "caps = 'video/x-vidtok,stream-format=raw,model=nobody,width=8,height=8,framerate=30/1'\n"
        "try: list(embed.decode(caps, [numpy.zeros((1, 1, 1), 'u2')]))\n"
        "except RuntimeError as error: sys.exit(str(error))"
    )
    assert 'no tokenizer "nobody"' in fail("env", "-C", ROOT, PYTHON, "-c", code)
