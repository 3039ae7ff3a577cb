"""Makes a data set on this machine: tokenizes clips side by side, and writes each shard when its clips are done."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from inspect import signature
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from vidtok_stream import read

from .errors import ClipError
from .files import read_json, write_json
from .layouts import LAYOUTS, FileEntry, Layout, LayoutError, ShardInfo
from .pipeline import Running, Tokenizer
from .plan import FOLDER, Plan, locked
from .progress import Progress
from .records import Record, Records
from .sample import Sample
from .sample import Tokenizer as TokenizerInfo
from .side import SideData
from .sources import Clip
from .stats import Stats, counted, stats_file
from .windows import check_windows, windows_of

MANIFEST = "manifest.json"
# Clips that wait for a thread: the rest of a million stays in the plan.
WAITING = 4


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


WriteShards = Callable[[Path, list[int]], None]
"""Tokenizes the clips of some shards of a data set's folder, and packs them.

Raises a `DatasetError` where that cannot be done, and `InterruptedError` where it was stopped."""


class Engine(Protocol):
    """What does the work."""

    def checked(self, plan: Plan) -> AbstractContextManager[WriteShards]:
        """Raises a `DatasetError` where the plan cannot be done, before anything is written."""


def make(plan: Plan, out: Path, engine: Engine, progress: Progress) -> Summary:
    """Makes the data set, or goes on with one that was interrupted. Returns what it has.

    Raises a `DatasetError` where it cannot be made, and `InterruptedError` where `engine` was stopped.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan.compare(out)
    with locked(out):
        if (out / MANIFEST).exists():
            return _summary(plan, out)
        missing = [number for number in range(plan.shards) if not _shard_file(out, number).exists()]
        if missing:
            with engine.checked(plan) as write:
                plan.keep(out)
                left = sum(len(plan.shard(number)) for number in missing)
                progress.start(len(plan.clips), len(plan.clips) - left)
                write(out, missing)
        return finish(plan, out)


def check(plan: Plan, layout: Layout, tokenizer: Tokenizer) -> None:
    """Raises a `DatasetError` where the layout cannot hold what the tokenizer makes, before any work."""
    check_windows(plan.options, tokenizer.format)
    if layout.has_one_grid and "x" not in (plan.options.size or ""):
        raise LayoutError(f"size: the layout {layout.name} has one for all clips: give it, as --size 256x256")
    if layout.has_one_rate and plan.options.fps is None:
        raise LayoutError(f"fps: the layout {layout.name} has one rate for all clips: give it, as --fps 30")
    if layout.needs_whole_windows and plan.options.window is None:
        raise LayoutError(f"window: the layout {layout.name} has windows of one length: give it, as --window 17")
    names = () if plan.side is None else side_data_of(plan.clips[0], plan.side).fields
    layout.check(
        TokenizerInfo.of(tokenizer.format), plan.options.window, names, is_cut=plan.options.windows == "stream"
    )


@dataclass(frozen=True)
class Local:
    """Works in this process, on several clips at a time, with one network."""

    running: Running
    jobs: int
    progress: Progress
    stop: threading.Event

    @contextmanager
    def checked(self, plan: Plan) -> Iterator[WriteShards]:
        layout = layout_of(plan)
        with Tokenizer(plan.options, self.running) as tokenizer:
            check(plan, layout, tokenizer)
            yield lambda out, shards: write_shards(
                plan, out, shards, tokenizer, layout, self.jobs, self.progress, self.stop
            )


def layout_of(plan: Plan) -> Layout:
    """How the plan's files are laid out. Raises a `LayoutError` for options that it does not have."""
    kind = LAYOUTS[plan.layout]
    for name in plan.layout_options:
        if name not in signature(kind).parameters:
            raise LayoutError(f"{name}: the layout {plan.layout} has no such option")
    return kind(**plan.layout_options)


def write_shards(
    plan: Plan,
    out: Path,
    shards: Sequence[int],
    tokenizer: Tokenizer,
    layout: Layout,
    jobs: int,
    progress: Progress,
    stop: threading.Event,
) -> None:
    """Tokenizes the clips of shards, `jobs` at a time, and packs each shard when its clips are done with."""
    left = {number: len(plan.shard(number)) for number in shards}
    ends = threading.Event()

    def work(number: int, clip: Clip) -> tuple[int, Record]:
        return number, tokenize_clip(Records(out, number), clip, tokenizer, _Either(stop, ends))

    def clips() -> Iterator[tuple[int, Clip]]:
        for number in shards:
            Records(out, number).clean()
            for clip in plan.shard(number):
                yield number, clip

    waiting = clips()
    with ThreadPoolExecutor(jobs) as workers, ThreadPoolExecutor(1) as packer:
        running: set[Future[Any]] = set()
        try:
            while True:
                tokenizing = sum(1 for future in running if getattr(future, "is_clip", False))
                for number, clip in islice(waiting, jobs + WAITING - tokenizing):
                    future: Future[Any] = workers.submit(work, number, clip)
                    future.is_clip = True  # type: ignore[attr-defined]
                    running.add(future)
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    if (result := future.result()) is None:
                        continue
                    number, record = result
                    progress.clip(record)
                    left[number] -= 1
                    if not left[number]:
                        running.add(packer.submit(pack, plan, out, number, layout))
        finally:
            # After an error, the others need not go on.
            ends.set()


class _Either(threading.Event):
    """Set as soon as one of two events is."""

    def __init__(self, one: threading.Event, other: threading.Event) -> None:
        super().__init__()
        self._events = one, other

    def is_set(self) -> bool:
        return any(event.is_set() for event in self._events)


def tokenize_clip(records: Records, clip: Clip, tokenizer: Tokenizer, stop: threading.Event) -> Record:
    """Tokenizes a clip unless that was done before, and keeps what became of it."""
    if stop.is_set():
        raise InterruptedError
    before = records.get(clip)
    if before is not None and (before.skipped or records.tokens(clip).exists()):
        return before
    try:
        record = Record(clip=clip, tokenized=tokenizer.tokenize(clip, records.tokens(clip), stop))
    except ClipError as error:
        record = Record(clip=clip, skipped=str(error))
    records.put(record)
    return record


def pack(plan: Plan, out: Path, number: int, layout: Layout) -> None:
    """Writes a shard of which all clips are done with, and then lets go of their tokens."""
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
    write_json(_shard_file(out, number), {"files": [asdict(entry) for entry in entries], "clips": contents})
    records.drop_tokens(plan.shard(number))


def _samples(
    plan: Plan, records: Records, number: int, contents: list[dict[str, Any]], refused: Mapping[str, str]
) -> Iterator[Sample]:
    """The samples of a shard, in order. Notes in `contents` what became of each clip.

    `refused`: keys of clips that the layout does not hold, and why.
    """
    for clip in plan.shard(number):
        record = records.get(clip)
        assert record is not None
        entry: dict[str, Any] = record.to_json() | {"samples": 0, "frames": 0, "latent_frames": 0}
        contents.append(entry)
        entry["skipped"] = entry["skipped"] or refused.get(clip.key)
        if entry["skipped"]:
            continue
        assert record.tokenized is not None
        path = records.tokens(clip)
        stream = read(path)
        windows = list(windows_of(plan.options, stream.real_frames, stream.segment_starts))
        if not windows:
            entry["skipped"] = f"too short: {record.tokenized.frames} frames, and a sample has {plan.options.window}"
            continue
        try:
            fields = {} if plan.side is None else side_data_of(clip, plan.side).of_frames(stream, clip.start)
        except ClipError as error:
            entry["skipped"] = str(error)
            continue
        for index, window in enumerate(windows):
            frames = slice(window.frame, window.frame + window.frames)
            about = {
                "key": clip.key if plan.options.window is None else f"{clip.key}-{index:05d}",
                "source": clip.path,
                "source_sha256": record.tokenized.sha256,
                "first_frame": window.frame,
                "latent_frames": (window.latent, window.latent + window.latents),
            }
            yield Sample.of(stream, about, {name: values[frames] for name, values in fields.items()}, path)
            entry["samples"] += 1
            entry["frames"] += window.frames
            entry["latent_frames"] += window.latents


def side_data_of(clip: Clip, suffix: str) -> SideData:
    """The rows of the file beside the clip's video, whose name ends in `suffix` instead."""
    return SideData.read(Path(clip.path).with_suffix(suffix))


def finish(plan: Plan, out: Path) -> Summary:
    """Writes what is about all shards, and the manifest, with which the data set is whole."""
    layout = layout_of(plan)
    shards, files = [], []
    for number in range(plan.shards):
        entries = tuple(FileEntry(**entry) for entry in read_json(_shard_file(out, number))["files"])
        shards.append(ShardInfo(number, entries))
        files += entries if layout.keeps_shards else ()
    files += layout.finish(out, shards)
    summary = _summary(plan, out)
    manifest = {
        "layout": plan.layout,
        **plan.layout_options,
        "options": asdict(plan.options),
        **asdict(summary),
        "files": [asdict(entry) for entry in files],
    }
    write_json(out / MANIFEST, manifest)
    if not layout.keeps_shards:
        for entry in (entry for shard in shards for entry in shard.files):
            (out / entry.path).unlink(missing_ok=True)
    return summary


def _summary(plan: Plan, out: Path) -> Summary:
    summary = Summary()
    for number in range(plan.shards):
        for entry in read_json(_shard_file(out, number))["clips"]:
            _count(summary, entry)
    return summary


def _count(summary: Summary, entry: dict[str, Any]) -> None:
    clip, tokenized = entry["clip"], entry["tokenized"]
    named = {"key": clip["key"], "path": clip["path"]}
    if entry["skipped"]:
        summary.skipped.append(named | {"reason": entry["skipped"]})
        return
    summary.clips += 1
    summary.samples += entry["samples"]
    summary.frames += entry["frames"]
    summary.latent_frames += entry["latent_frames"]
    summary.seconds += tokenized["seconds"] * entry["frames"] / tokenized["frames"]
    if tokenized["damage"]:
        summary.damaged.append(named | tokenized["damage"])


def _shard_file(out: Path, number: int) -> Path:
    return out / FOLDER / f"shard-{number:06d}.json"


def default_jobs() -> int:
    """Clips side by side: as many as processors, and one that decodes ahead."""
    return len(os.sched_getaffinity(0)) + 1 if sys.platform == "linux" else (os.cpu_count() or 1) + 1
