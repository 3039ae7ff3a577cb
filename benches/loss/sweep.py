"""Runs every coder through every line, writes all figures as JSON, and prints the file's name.

Needs FFmpeg, GStreamer with Python (Debian: python3-gi) and the plugin on GST_PLUGIN_PATH. `benches/loss.sh` sees to
them and draws the picture.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import loss_options
from channel import Line

HERE = Path(__file__).resolve().parent
VIDEOS = (".mp4", ".mkv", ".mov", ".webm", ".avi", ".y4m")
FRAME_RATE = 30
# From one run's result to the next one's; the first also waits for the encoder. Runs take a second or two.
LIMIT_SECONDS = 180
# By how much a process may grow from its third run to its last, at each of which it holds the same clip.
GROWTH_KIB = 48 * 1024
NICENESS = 10

Run = dict[str, object]
# What a curve stands for: see `settings`.
SERIES = ("coder", "key-interval", "fec")


def lines(options: argparse.Namespace) -> list[tuple[Mapping[str, object], int]]:
    """Each line with each seed; one that loses nothing needs to be run once."""
    found = []
    for rate in options.rates:
        for burst in (None, options.burst) if rate else (None,):
            line = asdict(Line(rate / 100, burst))
            found += [(line, seed) for seed in range(options.seeds if rate else 1)]
    return found


def settings(options: argparse.Namespace) -> list[dict[str, object]]:
    """Coder, key interval and repair data of each series."""
    found = []
    for coder in options.coders:
        # What follows a lost start is the same at all key intervals, but for how often it happens.
        plain = options.fec_key_intervals if coder == "tokens-hold" else options.key_intervals
        if coder != "tokens-raptorq":
            found += [(coder, interval, 0) for interval in plain]
        if coder != "tokens-hold":
            found += [(coder, interval, fec) for interval in options.fec_key_intervals for fec in options.fec]
    return [dict(zip(SERIES, series, strict=True)) for series in found]


def cut(video: Path, folder: Path, options: argparse.Namespace) -> Path:
    """The middle of a video's first frames as raw RGB."""
    size = options.size
    output = folder / f"{video.stem}.rgb"
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(video), "-vf", f"crop={size}:{size}", "-pix_fmt", "rgb24"]
    command += ["-frames:v", str(options.frames), "-f", "rawvideo", str(output)]
    run = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    raw = output.read_bytes() if output.exists() else b""
    frame = size * size * 3
    if run.returncode or not raw:
        raise SystemExit(f"{video}: no {size}x{size} pixels can be cut from it: {run.stderr.strip()}")
    pictures = [raw[at : at + frame] for at in range(0, len(raw), frame)]
    output.write_bytes(b"".join(pictures[at] for at in back_and_forth(len(pictures), options.frames)))
    return output


def back_and_forth(length: int, frames: int) -> Iterator[int]:
    """Positions in a clip that is played to its end, back to its beginning, and so on."""
    turn = max(1, 2 * (length - 1))
    for frame in range(frames):
        at = frame % turn
        yield at if at < length else turn - at


def work(job: Mapping[str, object], log: Path) -> list[Run]:
    """All runs of a job, in a process of its own. A crash, a hang and an error become a run that says so."""
    runs = []
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            preexec_fn=lambda: os.nice(NICENESS),
        )
        process.stdin.write(json.dumps(job))
        process.stdin.close()
        late = False
        while True:
            timer = threading.Timer(LIMIT_SECONDS, process.kill)
            timer.start()
            line = process.stdout.readline()
            late = not timer.is_alive()
            timer.cancel()
            if not line:
                break
            runs.append(json.loads(line))
        code = process.wait()
    if late or code or len(runs) != len(job["lines"]):
        what = f"no result within {LIMIT_SECONDS} s" if late else f"the process ended with {code}"
        line, seed = job["lines"][min(len(runs), len(job["lines"]) - 1)]
        runs.append({**line, "seed": seed, "faults": [f"{what}: see {log}"]})
    series = {key: job[key] for key in ("clip", *SERIES)}
    return [series | run for run in runs]


def faults(runs: Sequence[Run], frames: int) -> list[str]:
    """What must not happen: crashes, hangs, frames at other times, too many or too few frames, memory that grows."""
    found = []
    memory: dict[tuple[object, ...], list[int]] = {}
    for run in runs:
        name = ", ".join(f"{key} {run[key]}" for key in (*SERIES, "clip", "rate", "burst", "seed"))
        # GStreamer's elements for H.264 give a frame twice where a part of it was lost.
        if run["coder"] != "h264" or "frames" not in run:
            found += [f"{name}: {fault}" for fault in run["faults"]]
        if "frames" not in run:
            continue
        # A receiver that conceals shows all frames of which something came. Others may show less.
        least = run["arrived"] if run["coder"] in ("tokens", "tokens-raptorq") or not run["lost"] else 0
        if not least <= run["frames"] <= frames:
            found.append(f"{name}: {run['frames']} of {frames} frames came")
        job = tuple(run[key] for key in ("clip", *SERIES))
        memory.setdefault(job, []).append(run["resident-kib"])
    for job, sizes in memory.items():
        if len(sizes) > 3 and sizes[-1] - sizes[2] > GROWTH_KIB:
            found.append(f"{job}: memory grew from {sizes[2]} to {sizes[-1]} KiB in {len(sizes) - 3} runs")
    return found


def write(output: Path, options: argparse.Namespace, runs: Sequence[Run]) -> Run:
    kept = {key: value for key, value in vars(options).items() if key not in ("clips", "output", "jobs")}
    results = {"options": kept, "frame-rate": FRAME_RATE, "runs": runs, "faults": faults(runs, options.frames)}
    output.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return results


def main() -> None:
    options = loss_options.parse()
    videos = sorted(path for path in options.clips.glob("*") if path.suffix.lower() in VIDEOS)
    if not videos:
        raise SystemExit(f"{options.clips}: holds no video ({', '.join(VIDEOS)})")
    cuts, logs = options.output / "cut", options.output / "logs"
    for folder in (cuts, logs):
        folder.mkdir(parents=True, exist_ok=True)
    originals = {video.stem: cut(video, cuts, options) for video in videos}
    jobs = [
        {
            **series,
            "clip": clip,
            "original": str(original),
            "size": options.size,
            "rate": FRAME_RATE,
            "mtu": options.mtu,
            "jitter-buffer": options.jitter_buffer,
            "lines": lines(options),
        }
        for series in settings(options)
        for clip, original in originals.items()
    ]
    runs: list[Run] = []
    output = options.output / "loss.json"
    with ThreadPoolExecutor(options.jobs) as pool:
        for number, done in enumerate(pool.map(lambda at: work(jobs[at], logs / f"{at}.txt"), range(len(jobs))), 1):
            runs += done
            # After each job, so that what was measured is not lost if the rest is.
            results = write(output, options, runs)
            print(f"\r{number} of {len(jobs)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    for original in originals.values():
        original.unlink()
    print(output)
    for fault in results["faults"]:
        print(fault, file=sys.stderr)
    if results["faults"]:
        raise SystemExit(f"loss.sh: {len(results['faults'])} faults; the figures are in {output}")


if __name__ == "__main__":
    main()
