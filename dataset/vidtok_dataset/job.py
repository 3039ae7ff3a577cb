"""Makes a data set on this machine: tokenizes clips side by side, and writes each shard when its clips are done."""

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

from .errors import ClipError, DatasetError
from .layouts import Layout, LayoutError
from .pack import MANIFEST, Summary, check_finished, clean, finish, layout_of, pack, shard_file, side_data_of, summarize
from .pipeline import Running, Tokenizer
from .plan import Plan, locked
from .progress import Progress
from .records import Record, Records
from .sample import Tokenizer as TokenizerInfo
from .sources import Clip
from .windows import check_windows

# Clips that wait for a thread: the rest of a million stays in the plan.
WAITING = 4
# How often it is looked whether the user wants to stop.
STOP_SECONDS = 0.2


class Checked(NamedTuple):
    """A plan that can be done."""

    digest: str
    """The tokenizer's."""
    write: Callable[[Path, list[int]], None]
    """Tokenizes the clips of some shards of a data set's folder, and packs them.

    Raises a `DatasetError` where that cannot be done, and `InterruptedError` where it was stopped."""


class Engine(Protocol):
    """What does the work."""

    def checked(self, plan: Plan) -> AbstractContextManager[Checked]:
        """Raises a `DatasetError` where the plan cannot be done, before anything is written."""


def make(plan: Plan, out: Path, engine: Engine, progress: Progress) -> Summary:
    """Makes the data set, or goes on with one that was interrupted. Returns what it has.

    Raises a `DatasetError` where it cannot be made, and `InterruptedError` where `engine` was stopped.
    """
    out.mkdir(parents=True, exist_ok=True)
    plan.compare(out)
    with locked(out):
        if (out / MANIFEST).exists():
            check_finished(out)
            clean(out, layout_of(plan))
            return summarize(plan, out)
        missing = [number for number in range(plan.shards) if not shard_file(out, number).exists()]
        if missing:
            with engine.checked(plan) as checked:
                plan.keep(out, checked.digest)
                left = sum(len(plan.shard(number)) for number in missing)
                progress.start(len(plan.clips), len(plan.clips) - left)
                checked.write(out, missing)
        return finish(plan, out, plan.digest_of(out))


def check(plan: Plan, layout: Layout, tokenizer: Tokenizer) -> None:
    """Raises a `DatasetError` where the layout cannot hold what the tokenizer makes, before any work."""
    check_windows(plan.options, tokenizer.format)
    if layout.has_one_grid and "x" not in (plan.options.size or ""):
        raise LayoutError(f"size: the layout {layout.name} has one for all clips: give it, as --size 256x256")
    if layout.has_one_rate and plan.options.fps is None:
        raise LayoutError(f"fps: the layout {layout.name} has one rate for all clips: give it, as --fps 30")
    if layout.needs_whole_windows and plan.options.window is None:
        raise LayoutError(f"window: the layout {layout.name} has windows of one length: give it, as --window 17")
    names = () if plan.side is None else _side_names(plan)
    layout.check(
        TokenizerInfo.of(tokenizer.format), plan.options.window, names, is_cut=plan.options.windows == "stream"
    )


def _side_names(plan: Plan) -> Collection[str]:
    """Those of the first clip that has side data."""
    assert plan.side is not None
    problem = "no clips"
    for clip in plan.clips:
        try:
            return side_data_of(clip, plan.side).fields.keys()
        except ClipError as error:
            problem = str(error)
    raise DatasetError(f"--side {plan.side}: no clip has side data; of the last one, {problem}")


@dataclass(frozen=True)
class Local:
    """Works in this process, on several clips at a time, with one network."""

    running: Running
    jobs: int
    progress: Progress
    stop: threading.Event

    @contextmanager
    def checked(self, plan: Plan) -> Iterator[Checked]:
        layout = layout_of(plan)
        with Tokenizer(plan.options, self.running) as tokenizer:
            check(plan, layout, tokenizer)

            def write(out: Path, shards: list[int]) -> None:
                write_shards(plan, out, shards, tokenizer, layout, self.jobs, self.progress, self.stop)

            yield Checked(tokenizer.format.digest, write)


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
    # Set by the user's stop, too: after an error, the clips at work need not go on.
    ends = threading.Event()

    def work(number: int, clip: Clip) -> tuple[int, Record]:
        return number, tokenize_clip(Records(out, number), clip, tokenizer, ends)

    def clips() -> Iterator[tuple[int, Clip]]:
        for number in shards:
            Records(out, number).clean()
            for clip in plan.shard(number):
                yield number, clip

    waiting = clips()
    with ThreadPoolExecutor(jobs) as workers, ThreadPoolExecutor(1) as packer:
        tokenizing: set[Future[tuple[int, Record]]] = set()
        packing: set[Future[None]] = set()
        try:
            while True:
                for number, clip in islice(waiting, jobs + WAITING - len(tokenizing)):
                    tokenizing.add(workers.submit(work, number, clip))
                if not tokenizing and not packing:
                    return
                done, _ = wait(tokenizing | packing, STOP_SECONDS, FIRST_COMPLETED)
                if stop.is_set():
                    raise InterruptedError
                for future in packing & done:
                    future.result()
                for clip_done in tokenizing & done:
                    number, record = clip_done.result()
                    progress.clip(record)
                    left[number] -= 1
                    if not left[number]:
                        packing.add(packer.submit(pack, plan, out, number, layout))
                tokenizing -= done
                packing -= done
        finally:
            ends.set()


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


def default_jobs() -> int:
    """Clips side by side: as many as processors, and one that decodes ahead."""
    return len(os.sched_getaffinity(0)) + 1 if sys.platform == "linux" else (os.cpu_count() or 1) + 1
