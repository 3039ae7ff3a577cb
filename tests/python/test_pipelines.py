"""The lines of docs/pipelines.md run as they stand there, and do what it says of them.

The clip flashes and beeps at each full second, so that sound and picture of what comes out can be compared.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import vidtok_stream

from golden import ROOT

DOCUMENT = ROOT / "docs" / "pipelines.md"
SECONDS, RATE, SOUND_RATE = 3, 30, 48_000
FLASH = "drawbox=x=64:y=64:w=128:h=128:t=fill"
VIDEO = (
    f"testsrc2=s=256x256:r={RATE}:d={SECONDS},{FLASH}:color=black,{FLASH}:color=white:enable='lt(mod(t,1),0.2)',"
    "format=yuv420p"
)
BEEP = f"aevalsrc='sin(2*PI*1000*t)*lt(mod(t,1),0.2)':d={SECONDS}:s={SOUND_RATE}"
# Seconds that a line has.
PATIENCE = 60


def lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def line_to(name: str) -> str:
    """The one line that writes a file of this name."""
    [line] = [line for line in lines() if f"filesink location={name}" in line]
    return line


def run(command: str, folder: Path) -> None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    environment = {**os.environ, "GST_PLUGIN_PATH": str(target / "debug")}
    done = subprocess.run(
        ["bash", "-c", f"exec {command}"], cwd=folder, env=environment, timeout=PATIENCE, capture_output=True, text=True
    )
    assert done.returncode == 0 and "ERROR" not in done.stderr, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Path]]:
    """Makes a file of the document, and what its line needs."""
    folder = tmp_path_factory.mktemp("pipelines")
    clip = ["-f", "lavfi", "-i", VIDEO, "-f", "lavfi", "-i", BEEP, "-c:v", "libx264", "-c:a", "aac", "in.mp4"]
    subprocess.run(["ffmpeg", "-v", "error", *clip], cwd=folder, check=True)

    def make(name: str) -> Path:
        if not (folder / name).exists():
            line = line_to(name)
            for source in re.findall(r"filesrc location=(\S+)", line):
                make(source)
            run(line, folder)
        return folder / name

    yield make


def flashes_and_beeps(file: Path) -> tuple[list[float], list[float]]:
    """When, in seconds, the square in the middle becomes bright, and when sound begins after silence."""
    with av.open(str(file)) as container:
        frames = [
            (frame.time, frame.to_ndarray(format="gray")[96:160, 96:160].mean()) for frame in container.decode(video=0)
        ]
    flashes = [time for (_, before), (time, level) in pairwise([(0.0, 0.0), *frames]) if before < 125 <= level]
    with av.open(str(file)) as container:
        sound = [(frame.time, frame.to_ndarray()[0]) for frame in container.decode(audio=0)]
    times = np.concatenate([time + np.arange(len(part)) / SOUND_RATE for time, part in sound])
    loud = times[np.abs(np.concatenate([part for _, part in sound])) > 0.1]
    return flashes, [loud[0], *loud[1:][np.diff(loud) > 0.1]]


def offsets(file: Path) -> list[float]:
    """Milliseconds from each flash to the nearest beep. Without the first, where coders of sound set in."""
    flashes, beeps = flashes_and_beeps(file)
    assert len(flashes) == SECONDS, flashes
    return [min((beep - flash for beep in beeps), key=abs) * 1000 for flash in flashes[1:]]


def frames(file: Path) -> int:
    with av.open(str(file)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_every_line_is_tested() -> None:
    files = "copy.mp4 through.mp4 out.vidtok again.mp4 out.ts back.vidtok back.mkv large.ts large.png".split()
    live = [line for line in lines() if "is-live=true" in line]
    assert len(live) == 1
    assert sorted(lines()) == sorted([*map(line_to, files), *live])


def test_h264_and_tokens_get_all_frames_of_one_decoding(made: Callable[[str], Path]) -> None:
    copy = made("copy.mp4")
    assert frames(copy) == SECONDS * RATE
    assert len(vidtok_stream.read(copy.with_suffix(".vidtok")).pts) == SECONDS * RATE


def test_a_live_source_feeds_both_branches_to_its_end(tmp_path: Path) -> None:
    [line] = [line for line in lines() if "is-live=true" in line]
    run(line, tmp_path)


@pytest.mark.parametrize("name", ["in.mp4", "through.mp4", "again.mp4", "back.mkv"])
def test_flash_and_beep_stay_together(made: Callable[[str], Path], name: str) -> None:
    # A quarter of a frame.
    assert offsets(made(name)) == pytest.approx([0] * (SECONDS - 1), abs=1000 / RATE / 4)
    assert frames(made(name)) == SECONDS * RATE


def test_mpeg_ts_gives_tokens_back_byte_for_byte(made: Callable[[str], Path], tmp_path: Path) -> None:
    tokens = made("out.vidtok").read_bytes()
    assert made("back.vidtok").read_bytes() == tokens
    extract = ["-i", str(made("out.ts")), "-map", "0:d", "-c", "copy", "-f", "data", str(tmp_path / "out.vidtok")]
    subprocess.run(["ffmpeg", "-v", "error", *extract], check=True)
    assert (tmp_path / "out.vidtok").read_bytes() == tokens


def test_packets_above_64_kib_get_through_mpeg_ts_in_pieces(made: Callable[[str], Path]) -> None:
    picture = made("large.png")
    with av.open(str(picture)) as container:
        [frame] = container.decode(video=0)
    assert (frame.width, frame.height) == (1920, 1536)
