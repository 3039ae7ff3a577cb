"""Makes a data set on a local Ray cluster, kills workers meanwhile, and compares it with that of a single process.

    PYTHONPATH=models VIDTOK_DATASET_PYTHON=… python3 tests/python/ray_kill.py FOLDER [VIDEO-FOLDER]

Needs a build of the plugin (`cargo build`) and the environment that `tests/run.sh` makes. FOLDER is for what it makes.
"""

import os
import signal
import sys
import time
from pathlib import Path

from dataset import Program, contents, make_video

ARGUMENTS = ("--layout", "webdataset", "--clips-per-shard", "2")
# How Ray names the processes of workers.
WORKER = b"ray::MapWorker"
START_SECONDS = 60


def make_videos(folder: Path, count: int) -> Path:
    """Small videos, and a file that is none."""
    for number in range(count):
        make_video(folder / f"clip{number}.mp4", frames=9 + 4 * number)
    (folder / "empty.mp4").write_bytes(b"")
    return folder


def compare(folder: Path, videos: Path, workers: int, kills: int) -> None:
    """Raises an `AssertionError` where Ray's data set differs, or no worker could be killed."""
    program = Program.new(folder)
    program.run(videos, "--out", folder / "one", *ARGUMENTS)
    ray = (videos, "--out", folder / "ray", *ARGUMENTS, "--ray", "local", "--workers", str(workers), "--jobs", "1")
    process = program.start(*ray)
    try:
        killed = [_kill_one(process.pid) for _ in range(kills)]
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, out + err
    assert all(killed), "a worker had ended before it could be killed: use more or longer videos"
    assert contents(folder / "ray") == contents(folder / "one")


def _kill_one(driver: int) -> bool:
    """Kills a worker of the driver's that is at work; returns whether there was one."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and Path(f"/proc/{driver}").exists():
        # A worker that does nothing is called so without a task's name.
        if workers := [pid for pid in _processes() if WORKER in _command(pid)]:
            time.sleep(1)
            print(f"killing {_command(workers[0]).decode(errors='replace')}", flush=True)
            os.kill(workers[0], signal.SIGKILL)
            time.sleep(1)
            return True
        time.sleep(0.05)
    return False


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    target = Path(sys.argv[1]).absolute()
    target.mkdir(parents=True)
    sources = Path(sys.argv[2]).absolute() if len(sys.argv) == 3 else make_videos(target / "videos", 12)
    compare(target, sources, workers=3, kills=2)
    print("the same bytes")
