#!/usr/bin/env python3
"""What a data set costs, beside its parts and beside a plain loop: `benches/dataset.sh VIDEOS`.

All run in turns, as whole commands; figures are medians. Processor time counts all threads.

- **job**: `vidtok-dataset` on the videos.
- **decoding and scaling alone**: the same command with a tokenizer whose network does next to nothing.
- **bare network**: ONNX Runtime runs the encoder's graph as often as the job has latent frames, on one thread, as many
  side by side as there are cores: a core's other half slows it down in the job, too.
- **plain loop**: PyAV decodes and resizes (swscale), ONNX Runtime encodes on all cores, one after the other.
- **short clips**: many clips of 61 frames, and one clip of as many steps.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BUILT_IN = ROOT / "models" / "vidtok-small-488-32768"
sys.path += [str(ROOT / "models"), str(ROOT / "tests" / "python")]

STEP_FRAMES = 4
SHORT_FRAMES = 61
BARE_STEPS = 200
STATE_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32}


@dataclass(frozen=True)
class Cost:
    """Of a command, in seconds and bytes."""

    processor: float
    wall: float
    peak: int
    """Memory."""
    early: int
    """Memory at a quarter of the time."""


def run(command: list[str], environment: dict[str, str]) -> Cost:
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    memory: list[int] = []
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        memory.append(_resident(process.pid))
        time.sleep(0.1)
    if status:
        sys.exit(f"failed: {' '.join(command)}")
    wall = time.perf_counter() - started
    early = max(memory[: max(1, len(memory) // 4)], default=0)
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024, early)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return 0


@dataclass(frozen=True)
class Job:
    """`vidtok-dataset`."""

    python: str
    size: str

    def run(self, videos: Path, model: Path | None = None, jobs: int | None = None) -> tuple[Cost, int]:
        """What it costs, and how many latent frames it makes."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "set"
            command = [self.python, "-m", "vidtok_dataset", str(videos), "--out", str(out), "--layout", "webdataset"]
            command += ["--size", self.size, "--execution-provider", "cpu"]
            if jobs is not None:
                command += ["--jobs", str(jobs)]
            if model is not None:
                command += ["--model", str(model)]
            paths = os.pathsep.join(str(ROOT / name) for name in ("dataset", "python"))
            cost = run(command, os.environ | {"PYTHONPATH": paths})
            return cost, json.loads((out / "manifest.json").read_text())["latent_frames"]


def session(folder: Path, threads: int):  # type: ignore[no-untyped-def]
    """The encoder's graph in ONNX Runtime."""
    from vidtok_export.onnx_runtime import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(folder / "encoder.onnx", options, providers=["CPUExecutionProvider"])


def states(network, height: int, width: int) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    """A segment's first states."""
    sizes = {"N": 1, "H": height, "W": width}

    def size(word: object) -> int:
        name, _, divisor = str(word).partition("/")
        return (sizes[name] if name in sizes else int(name)) // int(divisor or 1)

    return {
        port.name: np.zeros([size(word) for word in port.shape], STATE_TYPES[port.type])
        for port in network.get_inputs()
        if port.name.startswith("state.")
    }


def steps(network, frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:  # type: ignore[no-untyped-def]
    """Tokens of each step of a clip. `frames`: `[4, H, W, 3]`, floats from 0 to 255."""
    names = [port.name for port in network.get_outputs()]
    first, state = np.array([True]), None
    for four in frames:
        state = states(network, *four.shape[1:3]) if state is None else state
        made = dict(zip(names, network.run(names, {"frames": four[None], "first": first, **state}), strict=True))
        state = {name: made[f"{name}.next"] for name in state}
        first = np.array([False])
        yield made["tokens"]


def bare_seconds(folder: Path, width: int, height: int) -> float:
    """Processor time of a step, on each core."""
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores) as processes:
        return statistics.mean(processes.map(_bare_seconds, *([each] * cores for each in (folder, width, height))))


def _bare_seconds(folder: Path, width: int, height: int) -> float:
    network = session(folder, 1)
    noise = np.random.default_rng(1).uniform(0, 255, (STEP_FRAMES, height, width, 3)).astype(np.float32)
    stream = steps(network, repeat(noise))
    for _ in range(10):
        next(stream)
    started = time.process_time()
    for _ in range(BARE_STEPS):
        next(stream)
    return (time.process_time() - started) / BARE_STEPS


def plain_loop(videos: Path, width: int, height: int) -> None:
    """What one writes first: decode, resize, encode."""
    import av

    network = session(BUILT_IN, 0)
    for path in sorted(videos.iterdir()):
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for _ in steps(network, _fours(container.decode(video=0), width, height)):
                pass


def _fours(frames, width: int, height: int) -> Iterator[np.ndarray]:  # type: ignore[no-untyped-def]
    """Of a clip: the first frame four times, then each four."""
    group: list[np.ndarray] = []
    for number, frame in enumerate(frames):
        scale = max(width / frame.width, height / frame.height)
        wide, high = round(frame.width * scale), round(frame.height * scale)
        rgb = frame.reformat(wide, high, "rgb24", interpolation="BILINEAR").to_ndarray()
        left, top = (wide - width) // 2, (high - height) // 2
        group += [rgb[top : top + height, left : left + width]] * (STEP_FRAMES if number == 0 else 1)
        if len(group) == STEP_FRAMES:
            yield np.stack(group).astype(np.float32)
            group = []
    if group:
        yield np.stack(group + [group[-1]] * (STEP_FRAMES - len(group))).astype(np.float32)


def compare(job: Job, videos: Path, nothing: Path, repeats: int) -> None:
    width, height = map(int, job.size.split("x"))
    jobs, alone, bare, loops = [], [], [], []
    me = [sys.executable, __file__, "--plain-loop", str(videos), "--size", job.size]
    for _ in range(repeats):
        cost, latent_frames = job.run(videos)
        jobs.append(cost)
        alone.append(job.run(videos, nothing)[0])
        bare.append((bare_seconds(BUILT_IN, width, height) - bare_seconds(nothing, width, height)) * latent_frames)
        loops.append(run(me, dict(os.environ)))
    whole = statistics.median(cost.processor for cost in jobs)
    parts = statistics.median(cost.processor for cost in alone) + statistics.median(bare)
    wall = statistics.median(cost.wall for cost in jobs)
    loop = statistics.median(cost.wall for cost in loops)
    cores = len(os.sched_getaffinity(0))
    print(f"{latent_frames} latent frames of {job.size}, {cores} cores, medians of {repeats} turns")
    print(f"processor time: job {whole:.1f} s, its parts {parts:.1f} s: {whole / parts:.3f}")
    print(f"cores busy: {whole / wall / cores:.0%}")
    print(f"time: job {wall:.1f} s, plain loop {loop:.1f} s: {loop / wall:.2f} times as fast")


def compare_short(job: Job, clips: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        one, many, long = (Path(folder) / name for name in ("one.mp4", "many", "long"))
        source = ["-f", "lavfi", "-i", f"testsrc2=s={job.size}:r=30", "-frames:v", str(SHORT_FRAMES)]
        subprocess.run(["ffmpeg", "-v", "error", *source, str(one)], check=True)
        many.mkdir()
        for number in range(clips):
            shutil.copy(one, many / f"{number:04d}.mp4")
        long.mkdir()
        # As many steps: a clip's first frame is one of its own.
        loops = clips * (1 + (SHORT_FRAMES - 1) // STEP_FRAMES) * STEP_FRAMES // SHORT_FRAMES
        again = ["-stream_loop", str(loops), "-i", str(one), "-c", "copy", str(long / "long.mp4")]
        subprocess.run(["ffmpeg", "-v", "error", *again], check=True)
        costs: dict[Path, list[tuple[Cost, int]]] = {many: [], long: []}
        for _ in range(repeats):
            for videos, found in costs.items():
                # One after the other, as the long one cannot have company: that would slow a core's halves down.
                found.append(job.run(videos, jobs=1))
        per_step = {v: statistics.median(c.processor / n for c, n in found) * 1e3 for v, found in costs.items()}
        print(f"a step of short clips {per_step[many]:.2f} ms, of a long one {per_step[long]:.2f} ms:", end=" ")
        print(f"{per_step[many] / per_step[long] - 1:+.1%}")
        cost = costs[many][-1][0]
        print(f"memory: {cost.early / 1e6:.0f} MB in the first quarter, {cost.peak / 1e6:.0f} at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, nargs="?", help="a folder of videos")
    parser.add_argument("--size", default="256x256")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dataset-python", help="the environment of vidtok-dataset")
    parser.add_argument("--short", type=int, metavar="N", help="compare N short clips with a long one, too")
    parser.add_argument("--plain-loop", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain_loop:
        plain_loop(options.plain_loop, *map(int, options.size.split("x")))
        return
    import toy

    job = Job(options.dataset_python, options.size)
    with tempfile.TemporaryDirectory() as folder:
        toy.export(Path(folder), "nothing", floats=True)
        if options.videos:
            compare(job, options.videos, Path(folder), options.repeats)
    if options.short:
        compare_short(job, options.short, options.repeats)


if __name__ == "__main__":
    main()
