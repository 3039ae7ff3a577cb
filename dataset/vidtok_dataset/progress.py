"""What a terminal shows of a job."""

import sys
from typing import Any

from .records import Record


class Progress:
    """Is told of each clip that is done with. This one says nothing."""

    def start(self, clips: int, done: int) -> None:
        """`done` of `clips` were done with before."""

    def clip(self, record: Record) -> None:
        """A clip is done with."""

    def clips(self, count: int) -> None:
        """So many clips are done with elsewhere."""

    def end(self) -> None:
        """Nothing more comes."""


class Bar(Progress):
    """A bar with rate and time left, and a line for each clip that is skipped or damaged."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._frames = self._skipped = 0

    def start(self, clips: int, done: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=clips, initial=done, unit=" clips", dynamic_ncols=True, smoothing=0.05, file=sys.stderr)

    def clip(self, record: Record) -> None:
        if record.tokenized is not None:
            self._frames += record.tokenized.frames
        else:
            self._skipped += 1
            self._bar.write(f"skipped {record.clip.path}: {record.skipped}", file=sys.stderr)
        elapsed = self._bar.format_dict["elapsed"] or 1e-9
        self._bar.set_postfix_str(f"{self._frames / elapsed:.0f} frames/s, {self._skipped} skipped", refresh=False)
        self._bar.update()

    def clips(self, count: int) -> None:
        self._bar.update(count)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.close()


def progress() -> Progress:
    """A bar on a terminal, and nothing elsewhere."""
    return Bar() if sys.stderr.isatty() else Progress()
