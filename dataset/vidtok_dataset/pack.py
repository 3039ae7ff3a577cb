"""Writes shards of tokens that are there, and what is about all shards."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vidtok_stream import Stream, StreamError, read

from .errors import ClipError, DatasetError
from .files import PART, read_json, write_json
from .layouts import LAYOUTS, FileEntry, Layout, LayoutError, ShardInfo
from .plan import FOLDER, Plan
from .records import Record, Records
from .sample import Sample
from .side import SideData
from .sources import Clip
from .stats import Stats, counted, seconds_of, stats_file
from .windows import windows_of

MANIFEST = "manifest.json"
# Where layouts keep shards that they join at the end.
PIECES = "pieces"


@dataclass
class Summary:
    """What a data set has: clips, samples of them, and frames of all samples."""

    clips: int = 0
    samples: int = 0
    frames: int = 0
    latent_frames: int = 0
    seconds: float = 0.0
    skipped: list[dict[str, str]] = field(default_factory=list)
    damaged: list[dict[str, Any]] = field(default_factory=list)


def layout_of(plan: Plan) -> Layout:
    """How the plan's files are laid out. Raises a `LayoutError` for options that it does not have."""
    kind = LAYOUTS[plan.layout]
    for name in plan.layout_options:
        if name not in signature(kind).parameters:
            raise LayoutError(f"{name}: the layout {plan.layout} has no such option")
    return kind(**plan.layout_options)


def pack(plan: Plan, out: Path, number: int, layout: Layout) -> None:
    """Writes a shard whose clips all have their records, and then deletes their tokens."""
    records = Records(out, number)
    refused: dict[str, str] = {}
    while True:
        contents: list[dict[str, Any]] = []
        stats = Stats()
        samples = counted(_samples(plan, records, number, contents, refused), stats)
        try:
            entries = layout.write_shard(out, number, samples)
            break
        except LayoutError as error:
            # The clip that came last is not like the others: the shard is written without it.
            if not contents or contents[-1]["skipped"]:
                raise
            refused[contents[-1]["clip"]["key"]] = str(error)
    stats.save(stats_file(out, number))
    write_json(shard_file(out, number), {"files": [asdict(entry) for entry in entries], "clips": contents})
    records.drop_tokens(plan.shard(number))


def _samples(
    plan: Plan, records: Records, number: int, contents: list[dict[str, Any]], refused: Mapping[str, str]
) -> Iterator[Sample]:
    """The samples of a shard, in order. Notes in `contents` what became of each clip.

    `refused`: keys of clips that the layout does not hold, and why.
    """
    columns: dict[str, Any] | None = None
    for clip in plan.shard(number):
        record = records.get(clip)
        assert record is not None
        entry = record.to_json() | {"samples": 0, "frames": 0, "latent_frames": 0, "seconds": 0.0}
        contents.append(entry)
        entry["skipped"] = entry["skipped"] or refused.get(clip.key)
        if entry["skipped"]:
            continue
        try:
            samples = list(_of_clip(plan, record, records.tokens(clip)))
            here = {name: (values.dtype.str, values.shape[1:]) for name, values in samples[0].fields.items()}
            if columns not in (None, here):
                raise ClipError(f"its side data are {_described(here)}, and those before it {_described(columns)}")
        except (ClipError, StreamError) as error:
            entry["skipped"] = str(error)
            continue
        columns = here
        for sample in samples:
            yield sample
            entry["samples"] += 1
            entry["frames"] += sample.frames
            entry["latent_frames"] += len(sample.tokens)
            entry["seconds"] += seconds_of(sample.pts, sample.durations)


def _of_clip(plan: Plan, record: Record, path: Path) -> Iterator[Sample]:
    """Its samples, at least one. Raises a `ClipError` or `StreamError` where there are none."""
    clip, tokenized = record.clip, record.tokenized
    assert tokenized is not None
    stream = read(path)
    windows = list(windows_of(plan.options, stream.real_frames, stream.segment_starts))
    if not windows:
        raise ClipError(f"too short: {tokenized.frames} frames, and a sample has {plan.options.window}")
    fields = {} if plan.side is None else _fields(plan, clip, stream)
    for index, window in enumerate(windows):
        frames = slice(window.frame, window.frame + window.frames)
        about = {
            "key": clip.key if plan.options.window is None else f"{clip.key}-{index:05d}",
            "source": clip.path,
            "source_sha256": tokenized.sha256,
            "first_frame": window.frame,
            "latent_frames": (window.latent, window.latent + window.latents),
        }
        yield Sample.of(stream, about, {name: values[frames] for name, values in fields.items()}, path)


def _fields(plan: Plan, clip: Clip, stream: Stream) -> dict[str, NDArray[Any]]:
    assert plan.side is not None
    data = side_data_of(clip, plan.side)
    if data.is_by_frame and plan.options.fps is not None:
        raise ClipError('side data by "frame" is of the video\'s own frames, which --fps changes: give "time"')
    return data.of_frames(stream, clip.start)


def _described(columns: Mapping[str, Any] | None) -> str:
    named = (f"{name} {np.dtype(kind).name} {list(shape)}" for name, (kind, shape) in (columns or {}).items())
    return ", ".join(named) or "none"


def side_data_of(clip: Clip, suffix: str) -> SideData:
    """The rows of the file beside the clip's video, whose name ends in `suffix` instead."""
    return SideData.read(Path(clip.path).with_suffix(suffix))


def finish(plan: Plan, out: Path, digest: str) -> Summary:
    """Writes what is about all shards, and the manifest: with it, the data set is whole. `digest`: the tokenizer's."""
    layout = layout_of(plan)
    shards, files = [], []
    for number in range(plan.shards):
        entries = tuple(FileEntry(**entry) for entry in read_json(shard_file(out, number))["files"])
        shards.append(ShardInfo(number, entries))
        files += entries if layout.keeps_shards else ()
    files += layout.finish(out, shards)
    summary = summarize(plan, out)
    manifest = {
        "layout": plan.layout,
        **plan.layout_options,
        "tokenizer": digest,
        "options": asdict(plan.options),
        **asdict(summary),
        "files": [asdict(entry) for entry in files],
    }
    write_json(out / MANIFEST, manifest)
    clean(out, layout)
    return summary


def clean(out: Path, layout: Layout) -> None:
    """Deletes what a finished data set does not need, and what was cut off in writing."""
    if not layout.keeps_shards:
        shutil.rmtree(out / PIECES, ignore_errors=True)
    for path in list(out.rglob("*" + PART)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def check_finished(out: Path) -> None:
    """Raises a `DatasetError` where files of a finished data set are missing, or have another size."""
    for entry in read_json(out / MANIFEST)["files"]:
        path = out / entry["path"]
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise DatasetError(
                f"{path} is missing or has another size, though {MANIFEST} says that the data set is whole: delete"
                f" {out} and make it again"
            )


def summarize(plan: Plan, out: Path) -> Summary:
    """What the shards have."""
    summary = Summary()
    for number in range(plan.shards):
        for entry in read_json(shard_file(out, number))["clips"]:
            _count(summary, entry)
    return summary


def _count(summary: Summary, entry: dict[str, Any]) -> None:
    named = {"key": entry["clip"]["key"], "path": entry["clip"]["path"]}
    if entry["skipped"]:
        summary.skipped.append(named | {"reason": entry["skipped"]})
        return
    summary.clips += 1
    summary.samples += entry["samples"]
    summary.frames += entry["frames"]
    summary.latent_frames += entry["latent_frames"]
    summary.seconds += entry["seconds"]
    if entry["tokenized"]["damage"]:
        summary.damaged.append(named | entry["tokenized"]["damage"])


def shard_file(out: Path, number: int) -> Path:
    """What is in a shard. It is there when the shard is."""
    return out / FOLDER / f"shard-{number:06d}.json"
