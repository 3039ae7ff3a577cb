#!/usr/bin/env python3
"""Says how many live streams this machine holds, and what limits it, before any is started.

    ./capacity.py [--role encode] [--video 256x256] [--fps 30] [--model MODEL] [--input raw]
    ./capacity.py --check …     then runs so many streams, and more, to see whether that is true

It runs a few streams side by side at full speed, for some seconds each, with all that the service does for one:
decoding, scaling, RTP. A machine holds streams if none drops a frame, and 99 of 100 buffers of each are late by no more
than the latency that its elements declare, and not later and later.

Needs the same as service.py but for the package.
"""

import argparse
import dataclasses
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from capacity_rule import NOTICED, Answer, Live, Run, answer, free_memory, is_right  # noqa: E402
from settings import LEAST_TEST  # noqa: E402
from streams import CLIP, INPUTS, ROLES, Broken, Load, at_full_speed, in_own_process, live, make_clip  # noqa: E402

# No run has more streams: each has several threads.
MAX_STREAMS = 64
# How often an answer that is far from what was measured is measured itself.
REFINEMENTS = 3


def measure(load: Load, seconds: float, folder: Path) -> list[Run]:
    """Runs of one stream, of one per processor, and of about as many as fit."""
    runs: list[Run] = []
    for count in numbers(load, runs):
        text = run_inner(load, folder, "--full-speed", count, seconds)
        runs.append(Run(**json.loads(text)))
        run = runs[-1]
        figures = f"{run.frames_per_second:8.1f} frames/s  {run.memory / 1e6:8.0f} MB{of_others(run.others)}"
        print(f"{run.streams:8} streams at full speed  {figures}", flush=True)
    return runs


def of_others(processors: float) -> str:
    """What to say of other programs."""
    return f"  (others: {processors:.1f} processors)" if processors > NOTICED else ""


def numbers(load: Load, runs: list[Run]) -> Iterator[int]:
    yield 1
    processors = len(os.sched_getaffinity(0))
    if processors > 1:
        yield min(processors, MAX_STREAMS)
    # Many streams slow each other down: about as many as the answer are measured, too.
    for _ in range(REFINEMENTS):
        near = min(max(answer(runs, load.fps, free_memory()).streams, 1), MAX_STREAMS)
        if is_right(near, runs[-1].streams):
            return
        yield near


def run_inner(load: Load, folder: Path, what: str, count: int, seconds: float) -> str:
    return in_own_process([what, str(count), str(seconds), str(folder), json.dumps(dataclasses.asdict(load))])


def inner(what: str, count: str, seconds: str, folder: str, load: str) -> None:
    """One run, in a process of its own."""
    Gst.init(None)
    arguments = (Load(**json.loads(load)), int(count), float(seconds), Path(folder))
    if what == "--full-speed":
        print(json.dumps(dataclasses.asdict(at_full_speed(*arguments))))
    else:
        streams, others = live(*arguments)
        print(json.dumps({"streams": [dataclasses.asdict(stream) for stream in streams], "others": others}))


def holds(load: Load, count: int, seconds: float, folder: Path) -> bool:
    """Runs live streams, and shows how it went."""
    found = json.loads(run_inner(load, folder, "--live", count, seconds))
    streams = [Live(**stream) for stream in found["streams"]]
    faults = [fault for stream in streams if (fault := stream.fault())]
    late = max((stream.p99 for stream in streams if stream.lateness), default=0)
    latency = max(stream.latency for stream in streams)
    text = f"late by {late * 1e3:.0f} ms (p99), declared {latency * 1e3:.0f}"
    verdict = f"do not hold: {len(faults)} of {len(streams)}, {faults[0]}" if faults else "hold"
    print(f"{count:8} live streams  {text}{of_others(found['others'])}  {verdict}", flush=True)
    return not faults


def check(load: Load, said: int, seconds: float, folder: Path) -> int:
    """The largest number of streams that holds, looked for from what was said."""
    count = max(said, 1)
    if holds(load, count, seconds, folder):
        while holds(load, count + 1, seconds, folder):
            count += 1
        return count
    while count > 1:
        count -= 1
        if holds(load, count, seconds, folder):
            return count
    return 0


def report(load: Load, found: Answer, free: int) -> None:
    memory = "as many as there may be" if found.by_memory is None else str(found.by_memory)
    print(f"\nThis machine holds {found.streams} streams; {found.limit} limit them.")
    print(f"by the processors ({len(os.sched_getaffinity(0))}): {found.by_processors}")
    if found.alone is not None:
        print(f"without the other programs that run now, about: {found.alone}")
    print(f"by memory ({free / 1e9:.1f} GB are free): {memory}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--role", choices=ROLES, default="encode", help="what each stream does (encode)")
    parser.add_argument(
        "--video", default="256x256", metavar="WIDTHxHEIGHT", help="the pictures that come in (256x256)"
    )
    parser.add_argument("--fps", type=int, default=30, help="frames per second of a stream (30)")
    parser.add_argument("--size", default="", help="size of the tokenized picture, as vidtokenc has it (the video's)")
    parser.add_argument("--input", choices=INPUTS, default="raw", help="what comes in: raw video, or H.264 to decode")
    parser.add_argument("--model", default="", help="the tokenizer, as vidtokenc has it (the built-in one)")
    parser.add_argument("--threads", type=int, default=1, help="threads of each network (1)")
    parser.add_argument("--seconds", type=float, default=8, help="how long each run is measured (8)")
    parser.add_argument("--check", action="store_true", help="run so many streams live, and one more")
    parser.add_argument(
        "--in-phase", action="store_true", help="decode: the check's cameras take pictures at the same instants"
    )
    parser.add_argument("--check-seconds", type=float, default=30, help="how long each live run is (30)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    found = parser.parse_args()
    try:
        found.width, found.height = (int(part) for part in found.video.split("x"))
    except ValueError:
        parser.error(f"--video {found.video}: it is WIDTHxHEIGHT")
    if not (LEAST_TEST <= found.width <= 16384 and LEAST_TEST <= found.height <= 16384 and 0 < found.fps <= 1000):
        parser.error(f"a video has {LEAST_TEST} to 16384 pixels each way, and 1 to 1000 frames per second")
    if found.in_phase and found.role != "decode":
        # A live test picture begins when its pipeline does, whatever the base time.
        parser.error("--in-phase is for --role decode")
    if not 0 <= found.threads <= 1024:
        parser.error("a network has at most 1024 threads; 0: as many as it likes")
    if not 0 < found.seconds < math.inf or not 0 < found.check_seconds <= CLIP - 25:
        parser.error(f"runs take some time, and live ones at most {CLIP - 25} s")
    return found


def main() -> int:
    if sys.argv[1:2] in (["--full-speed"], ["--live"]):
        try:
            inner(*sys.argv[1:])
        except Broken as error:
            print(error, file=sys.stderr)
            return 1
        return 0
    chosen = options()
    Gst.init(None)
    if Gst.ElementFactory.find("vidtokenc") is None:
        sys.exit("capacity.py: GStreamer does not find vidtokenc: set GST_PLUGIN_PATH to the folder of libgstvidtok.so")
    names = [field.name for field in dataclasses.fields(Load)]
    load = Load(**{name: getattr(chosen, name) for name in names})
    free = free_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            make_clip(load, folder)
            runs = measure(load, chosen.seconds, folder)
            found = answer(runs, load.fps, free)
            report(load, found, free)
            true = check(load, found.streams, chosen.check_seconds, folder) if chosen.check else None
        except Broken as error:
            sys.exit(f"capacity.py: {error}")
    if chosen.json:
        figures = {"load": dataclasses.asdict(load), "runs": [dataclasses.asdict(run) for run in runs]}
        figures |= {"answer": dataclasses.asdict(found), "holds": true}
        chosen.json.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if true is None:
        return 0
    verdict = "right" if is_right(found.streams, true) else "WRONG"
    print(f"\nsaid {found.streams}, {true} hold: {verdict}")
    return 0 if verdict == "right" else 1


if __name__ == "__main__":
    sys.exit(main())
