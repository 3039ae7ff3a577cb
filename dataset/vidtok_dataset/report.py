"""A report of a finished data set: `report.html` for people, and the same numbers as `report.json`."""

import argparse
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError
from .files import read_json, whole, write_json
from .plan import FOLDER, Plan
from .sources import Clip
from .stats import Stats, digit_counts, entropy, stats_file

if TYPE_CHECKING:
    from .examples import Example

VERSION = 1
EXAMPLES = 6
# Points of the curve of codes by rank.
RANKS = 256
MOST_BINS = 30
# Clips that the report names for each reason: the manifest has all.
NAMED = 20
DAMAGED = 50
# The most pixels of a side of the pictures in the report.
SIDE = 480
HOW = (
    "The clips are tokenized again, their first 2 seconds each, and decoded from those tokens alone. The original is"
    " the same frames as a player shows them: converted to RGB by GStreamer, turned as their tag says, and scaled with"
    " antialiasing to the size of the tokenized picture. A clip's PSNR is that of the mean squared error over all red,"
    " green and blue values of these frames, and the data set's is the mean of the clips'."
)


def write_report(
    out: Path, stop: threading.Event, examples: int = EXAMPLES, provider: str = "auto", device: int = 0
) -> list[Path]:
    """Writes the report of a finished data set into its folder, and returns the two files.

    `examples`: how many clips are shown and measured. Raises a `DatasetError` where the data set is not finished, and
    `InterruptedError` after `stop`.
    """
    from .report_html import page

    plan, manifest = _finished(out)
    stats = Stats()
    for number in range(plan.shards):
        stats.merge(Stats.load(stats_file(out, number)))
    entries = list(_entries(out, plan))
    shown, problem = _examples(plan, entries, stats, examples, provider, device, stop)
    report = numbers(out.absolute().name, plan, manifest, stats, entries)
    report["examples"] = _examples_json(shown, problem)
    pictures = [_pictures(example) for example in shown]
    paths = [out / "report.html", out / "report.json"]
    with whole(paths[0]) as part:
        part.write_text(page(report, pictures), "utf-8")
    write_json(paths[1], report)
    return paths


def numbers(
    name: str, plan: Plan, manifest: dict[str, Any], stats: Stats, entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """All that the report says but for examples, as JSON."""
    pixels = Counter(entry["tokenized"]["pixels"] or "as they are" for entry in entries if entry["samples"])
    sizes = Counter(zip(stats.column("width").tolist(), stats.column("height").tolist(), strict=True))
    skipped: dict[str, list[str]] = {}
    for each in manifest["skipped"]:
        skipped.setdefault(each["reason"], []).append(each["path"])
    by_count = sorted(skipped.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        "version": VERSION,
        "name": name,
        "counts": {
            "clips_planned": len(plan.clips),
            "clips": manifest["clips"],
            "skipped": len(manifest["skipped"]),
            "damaged": len(manifest["damaged"]),
            "samples": manifest["samples"],
            "frames": int(stats.column("frames").sum()),
            "latent_frames": int(stats.column("latent_frames").sum()),
            "tokens": int(stats.column("tokens").sum()),
            "hours": float(stats.column("seconds").sum()) / 3600,
            "hours_of_clips": manifest["seconds"] / 3600,
            "files": len(manifest["files"]),
            "bytes": sum(entry["bytes"] for entry in manifest["files"]),
        },
        "codes": None if stats.codes is None else codes(stats.codes, stats.tokenizer["levels"]),
        "channels": [
            {"mean": float(mean), "deviation": float(deviation)}
            for mean, deviation in zip(stats.means, stats.deviations, strict=True)
        ],
        "lengths": distribution(stats.column("seconds"), stats.keys),
        "motion": distribution(stats.column("motion"), stats.keys, (0.0, 1.0) if stats.codes is not None else None),
        "sizes": [{"width": w, "height": h, "samples": count} for (w, h), count in sizes.most_common()],
        "skipped": [
            {"reason": reason, "clips": len(paths), "paths": paths[:NAMED]} for reason, paths in by_count[:DAMAGED]
        ],
        "damaged": manifest["damaged"][:DAMAGED],
        "made": {
            "layout": plan.layout,
            "layout_options": plan.layout_options,
            "clips_per_shard": plan.clips_per_shard,
            "side": plan.side,
            "options": asdict(plan.options),
            "tokenizer": stats.tokenizer,
            "pixels": [{"pixels": text, "clips": count} for text, count in pixels.most_common()],
        },
    }


def codes(counts: NDArray[np.int64], levels: Sequence[int]) -> dict[str, Any]:
    """How a codebook is used. `counts`: how often each code is there."""
    size, total = len(counts), int(counts.sum())
    ranked = np.sort(counts)[::-1]
    used = int((counts > 0).sum())
    # Also where few of many codes are used.
    ends = {size, max(1, used)}
    ranks = np.unique(np.concatenate([np.linspace(1, end, min(RANKS, end)).round().astype(int) for end in ends]))
    bits = entropy(counts)
    top = np.lexsort((np.arange(size), -counts))[:10]
    digits = digit_counts(counts, levels)
    return {
        "size": size,
        "used": used,
        "dead": size - used,
        "dead_share": (size - used) / size,
        # Of so many draws from codes that are all equally likely.
        "dead_share_if_even": float((1 - 1 / size) ** total),
        "bits": bits,
        "most_bits": float(np.log2(size)),
        "perplexity": float(2**bits),
        "most_frequent": [{"code": int(code), "count": int(counts[code])} for code in top if counts[code]],
        "by_rank": {"ranks": ranks.tolist(), "counts": ranked[ranks - 1].tolist()},
        "digits": [
            {"level": len(each), "counts": each.tolist(), "bits": entropy(each), "most_bits": float(np.log2(len(each)))}
            for each in digits
        ],
    }


def distribution(
    values: NDArray[Any], keys: Sequence[str], limits: tuple[float, float] | None = None
) -> dict[str, Any] | None:
    """A histogram of a number of each sample, and its extremes; `None` if no sample has one."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    some = values[known]
    edges = bins(some) if limits is None else np.linspace(*limits, 21)
    counts, _ = np.histogram(some, edges)
    order = known[np.argsort(some, kind="stable")]
    return {
        "samples": len(known),
        "unknown": len(values) - len(known),
        "mean": float(some.mean()),
        "median": float(np.median(some)),
        "least": {"value": float(some.min()), "key": keys[order[0]]},
        "most": {"value": float(some.max()), "key": keys[order[-1]]},
        "edges": np.round(edges, 9).tolist(),
        "counts": counts.tolist(),
        "beyond": int((some > edges[-1]).sum()),
    }


def bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges at round numbers. Few values that are far above all others are beyond the last edge."""
    top, usual = float(values.max()), float(np.quantile(values, 0.99))
    top = usual if top > 3 * usual > 0 else top
    low = 0.0 if values.min() < top / 2 else float(values.min())
    span = max(top - low, top * 0.05, 1e-6)
    step = nice(span / MOST_BINS)
    first = np.floor(low / step + 1e-9)
    last = max(np.ceil(top / step - 1e-9), first + 1)
    return np.arange(first, last + 1) * step


def nice(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... and their tenths that is not below `least`."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9)))


def _finished(out: Path) -> tuple[Plan, dict[str, Any]]:
    try:
        return Plan.of(out), read_json(out / "manifest.json")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(
            f"{out} has no finished data set of vidtok-dataset ({Path(error.filename).name} is missing): name the"
            " folder that --out named, once the job has ended"
        ) from error


def _entries(out: Path, plan: Plan) -> Iterator[dict[str, Any]]:
    """What became of each clip that was not skipped."""
    for number in range(plan.shards):
        for entry in read_json(out / FOLDER / f"shard-{number:06d}.json")["clips"]:
            if not entry["skipped"]:
                yield entry


def _examples(
    plan: Plan,
    entries: Sequence[dict[str, Any]],
    stats: Stats,
    count: int,
    provider: str,
    device: int,
    stop: threading.Event,
) -> "tuple[list[Example], str | None]":
    if not count or not entries:
        return [], None
    try:
        from .examples import choose, make_examples
        from .pipeline import Running

        chosen = choose([(Clip(**entry["clip"]), entry["tokenized"]["sha256"]) for entry in entries], count)
        running = Running(provider=provider, device=device)
        return make_examples(chosen, plan.options, running, stats.tokenizer["digest"], stop), None
    except DatasetError as error:
        return [], str(error)


def _examples_json(shown: "Sequence[Example]", problem: str | None) -> dict[str, Any]:
    measured = [example for example in shown if example.problem is None]
    return {
        "how": HOW,
        "problem": problem,
        "psnr": float(np.mean([example.psnr for example in measured])) if measured else None,
        "clips": [
            {
                "key": example.clip.key,
                "path": example.clip.path,
                "problem": example.problem,
                "width": example.width,
                "height": example.height,
                "frames": example.frames,
                "psnr": None if example.problem else example.psnr,
                "moments": [{"seconds": moment.seconds, "psnr": moment.psnr} for moment in example.moments],
            }
            for example in shown
        ],
    }


def _pictures(example: "Example") -> list[dict[str, bytes]]:
    """The files of the pictures of an example's moments."""
    if not example.moments:
        return []
    from .examples import encoded
    from .pictures import smaller

    return [
        {
            "original": encoded(smaller(moment.original, SIDE), "image/jpeg"),
            "reconstruction": encoded(smaller(moment.reconstruction, SIDE), "image/jpeg"),
            "tokens": encoded(moment.tokens, "image/png"),
        }
        for moment in example.moments
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command `vidtok-dataset-report`. Returns its exit status: 1 for an error, 130 if stopped."""
    parser = argparse.ArgumentParser(
        prog="vidtok-dataset-report",
        description="Writes report.html and report.json into the folder of a finished data set.",
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="the folder of the data set")
    add("--clips", type=int, default=EXAMPLES, metavar="N", help=f"clips that are shown and measured ({EXAMPLES})")
    add("--execution-provider", default="auto", metavar="NAME", help="as vidtokenc's property (auto)")
    add("--device-id", type=int, default=0, metavar="N", help="the GPU (0)")
    chosen = parser.parse_args(arguments)
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    try:
        if chosen.clips < 0:
            raise DatasetError(f"--clips {chosen.clips}: 0 or more was expected")
        for path in write_report(chosen.folder, stop, chosen.clips, chosen.execution_provider, chosen.device_id):
            print(path)
    except DatasetError as error:
        print(f"vidtok-dataset-report: {error}", file=sys.stderr)
        return 1
    except InterruptedError:
        print("vidtok-dataset-report: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
