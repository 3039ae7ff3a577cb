"""The command `vidtok-dataset`."""

import argparse
import os
import re
import signal
import sys
import threading
from pathlib import Path

from .errors import DatasetError
from .options import Options
from .plan import Plan
from .sources import find_clips

EPILOG = """
A source is a video, a folder, a pattern like "videos/*.mp4", a list of paths (.txt, one a line), or a table of them
(.csv with a header, .jsonl) with path, and if wanted start, end (seconds) and key.

The same command goes on with a data set that was interrupted. Clips that cannot be tokenized are skipped and listed.
docs/layouts.md says what is in the files.
"""


def parser() -> argparse.ArgumentParser:
    from .layouts import LAYOUTS

    parser = argparse.ArgumentParser(
        prog="vidtok-dataset",
        description="Turns videos into a data set of tokens that a trainer reads.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("sources", nargs="+", metavar="SRC", help="a video, folder, pattern, list or table")
    add("--out", required=True, type=Path, metavar="DIR", help="the folder of the data set")
    add("--layout", required=True, choices=LAYOUTS, help="how the files are laid out: whose loader reads them")
    add("--split", choices=("train", "val"), help="which half of a data set 1x-v2 or commavq-flat is to be (train)")
    add("--dtype", help="type of the tokens in the files (default: the layout's)")

    tokens = parser.add_argument_group("tokens")
    add = tokens.add_argument
    add("--model", help="folder or name of a tokenizer (default: the one built into the plugin)")
    add("--size", help='of the pictures: "256" for the shorter side, or "256x256" (default: the videos\' own)')
    add("--fit", choices=("crop", "stretch", "pad"), default="crop", help="how a picture of another shape fits (crop)")
    add("--interpolation", default="bilinear", help="of other sizes, as vidtokenc's property (bilinear)")
    add("--conversion", choices=("swscale", "exact"), default="swscale", help="of YUV to RGB (swscale)")
    add("--fps", help="frames per second, exactly: frames are left out or doubled")
    add("--sample-fps", type=float, metavar="FPS", help="about so many, picked as VidTok does")
    add("--frame-interval", type=int, default=1, metavar="N", help="every Nth frame")
    add("--deinterlace", action="store_true", help="make frames of interlaced video whole; others stay as they are")
    add("--key-interval", type=int, default=0, metavar="N", help="a segment every N frames (0: a clip is one)")
    add("--token-type", choices=("uint16", "uint32", "float16", "float32"), help="type of the encoder's numbers")

    samples = parser.add_argument_group("samples")
    add = samples.add_argument
    add("--window", type=int, metavar="N", help="samples of exactly N frames (default: a clip is a sample)")
    add(
        "--windows",
        choices=("alone", "stream"),
        help="windows are tokenized alone (default), or cut out of the clip's tokens, which build on those before",
    )
    add("--side", metavar="SUFFIX", help='side data of each frame: files beside the videos, as ".jsonl"')
    add("--clips-per-shard", type=int, default=1000, metavar="N", help="the most clips of a shard (1000)")

    work = parser.add_argument_group("work")
    add = work.add_argument
    add("--execution-provider", default="auto", metavar="NAME", help="as vidtokenc's property (auto)")
    add("--device-id", type=int, default=0, metavar="N", help="the GPU (0)")
    add("--jobs", type=int, metavar="N", help="clips side by side (default: processors + 1)")
    add("--ray", metavar="ADDRESS", help='work on a Ray cluster: its address, or "local" to start one here')
    add("--workers", type=int, metavar="N", help="with --ray: processes (default: one for each --jobs processors)")
    add("--gpus-per-worker", type=float, default=0.0, metavar="SHARE", help="with --ray: as 0.5 (0)")
    add("--fail-on-skips", action="store_true", help="exit with 3 if clips were skipped")
    add("--report", action="store_true", help="write report.html and report.json when the data set is made")
    add("--plan", action="store_true", help="only say what would be made")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command. Returns its exit status: 1 for an error, 3 for skipped clips if asked for, 130 if stopped."""
    chosen = parser().parse_args(arguments)
    try:
        return _run(chosen)
    except InterruptedError:
        print("vidtok-dataset: stopped; the same command goes on", file=sys.stderr)
        return 130
    except (DatasetError, OSError) as error:
        print(f"vidtok-dataset: {error}", file=sys.stderr)
        return 1


def plan_of(chosen: argparse.Namespace) -> Plan:
    """What the arguments ask for."""
    windows = "whole" if chosen.window is None else chosen.windows or "alone"
    if chosen.window is None and chosen.windows:
        raise DatasetError(f"--windows {chosen.windows}: say with --window how many frames they have")
    if chosen.clips_per_shard < 1 or chosen.frame_interval < 1 or chosen.key_interval < 0:
        raise DatasetError("--clips-per-shard and --frame-interval are 1 or more, and --key-interval is 0 or more")
    if chosen.jobs is not None and chosen.jobs < 1 or chosen.device_id < 0:
        raise DatasetError("--jobs is 1 or more, and --device-id is 0 or more")
    if chosen.side is not None and not re.fullmatch(r"\.[A-Za-z0-9_.-]*[A-Za-z0-9_-]", chosen.side):
        raise DatasetError(f'--side {chosen.side}: the end of a file name was expected, as ".jsonl"')
    # The folder stays the same, whatever folder the next command is given in.
    model = chosen.model if chosen.model is None or not Path(chosen.model).is_dir() else os.path.abspath(chosen.model)
    options = Options(
        model=model,
        size=chosen.size,
        fit=chosen.fit,
        interpolation=chosen.interpolation,
        conversion=chosen.conversion,
        fps=chosen.fps,
        sample_fps=chosen.sample_fps,
        frame_interval=chosen.frame_interval,
        deinterlace=chosen.deinterlace,
        key_interval=chosen.key_interval,
        token_type=chosen.token_type,
        window=chosen.window,
        windows=windows,
    )
    return Plan(
        options=options,
        layout=chosen.layout,
        layout_options={name: value for name in ("dtype", "split") if (value := getattr(chosen, name)) is not None},
        clips_per_shard=chosen.clips_per_shard,
        side=chosen.side,
        clips=tuple(find_clips(chosen.sources)),
    )


def _run(chosen: argparse.Namespace) -> int:
    plan = plan_of(chosen)
    if chosen.plan:
        print(f"{len(plan.clips)} clips in {plan.shards} shards")
        return 0
    # GStreamer takes a moment to load: wrong arguments are told of before.
    from .job import Local, default_jobs, make
    from .pipeline import Running
    from .progress import progress

    stop = threading.Event()

    def end(*_: object) -> None:
        stop.set()
        if chosen.ray is not None:
            # Ray's workers end with the cluster or the connection to it; a shard may take them long.
            raise InterruptedError

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, end)
    running = Running(provider=chosen.execution_provider, device=chosen.device_id)
    shown = progress()
    if chosen.ray is None:
        engine = Local(running, chosen.jobs or default_jobs(), shown, stop)
    else:
        from .ray_engine import RayEngine

        engine = RayEngine(chosen.ray, running, chosen.jobs, chosen.workers, chosen.gpus_per_worker, shown, stop)
    try:
        summary = make(plan, chosen.out, engine, shown)
    finally:
        shown.end()
    print(
        f"{chosen.out}: {summary.samples} samples of {summary.clips} clips, {summary.frames} frames,"
        f" {_time(summary.seconds)}, {summary.latent_frames} latent frames"
    )
    for each in summary.damaged:
        print(f"damaged: {each['path']}: {_damage(each)}", file=sys.stderr)
    for each in summary.skipped:
        print(f"skipped: {each['path']}: {each['reason']}", file=sys.stderr)
    if chosen.report:
        from .report import write_report

        page, _ = write_report(chosen.out, stop, provider=chosen.execution_provider, device=chosen.device_id)
        print(page)
    return 3 if summary.skipped and chosen.fail_on_skips else 0


def _time(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def _damage(each: dict[str, object]) -> str:
    said = []
    if "messages" in each:
        said.append(f"{each['messages']} messages of its decoder")
    if "ends_at" in each:
        said.append(f"it ends at {each['ends_at']} s of {each['should_end_at']}")
    return ", ".join(said)
