"""What a data set is made of, decided before any work: which clips, in which shards. It does not change afterwards."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .errors import DatasetError
from .files import read_json, whole, write_json
from .options import Options
from .sources import Clip

VERSION = 1
# In the data set's folder.
FOLDER = ".job"
SETTINGS = "plan.json"
CLIPS = "clips.jsonl"
# In the settings: the digest of the tokenizer.
TOKENIZER = "tokenizer"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a data set's bytes, but for what is in the videos."""

    options: Options
    layout: str
    layout_options: dict[str, Any]
    clips_per_shard: int
    side: str | None = None
    """What the names of files with side data end in, instead of the video's suffix."""
    clips: tuple[Clip, ...]

    @property
    def shards(self) -> int:
        return -(-len(self.clips) // self.clips_per_shard)

    def shard(self, number: int) -> tuple[Clip, ...]:
        """The clips of a shard, in order. Those that are skipped leave no room."""
        return self.clips[number * self.clips_per_shard :][: self.clips_per_shard]

    @classmethod
    def of(cls, out: Path) -> "Plan":
        """That of a data set's folder."""
        settings = read_json(out / FOLDER / SETTINGS)
        clips = (out / FOLDER / CLIPS).read_text("utf-8").splitlines()
        return cls(
            options=Options(**settings["options"]),
            layout=settings["layout"],
            layout_options=settings["layout_options"],
            clips_per_shard=settings["clips_per_shard"],
            side=settings["side"],
            clips=tuple(Clip(**json.loads(clip)) for clip in clips),
        )

    def _settings(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "layout": self.layout,
            "layout_options": self.layout_options,
            "clips_per_shard": self.clips_per_shard,
            "side": self.side,
            "options": asdict(self.options),
        }

    def compare(self, out: Path) -> None:
        """Raises a `DatasetError` that says what differs if the folder has another data set, or something else."""
        folder = out / FOLDER
        if not (folder / SETTINGS).exists():
            if any(each.name != FOLDER for each in out.iterdir()):
                raise DatasetError(f"{out} is not empty and has no data set of this program: name another folder")
            return
        settings = read_json(folder / SETTINGS)
        settings.pop(TOKENIZER)
        _compare(out, settings, self._settings())
        before, clips = (folder / CLIPS).read_text("utf-8").splitlines(), self._clip_lines()
        if before != clips:
            differ = (now for old, now in zip(before, clips, strict=False) if old != now)
            what = next(differ, f"{len(clips)} clips, where it has {len(before)}")
            raise DatasetError(
                f"{out} has a data set of other clips, not {what}: name the same sources to go on with it, or"
                " another folder"
            )

    @staticmethod
    def digest_of(out: Path) -> str:
        """The tokenizer's digest, of a data set's folder with a plan."""
        return read_json(out / FOLDER / SETTINGS)[TOKENIZER]

    def keep(self, out: Path, digest: str) -> None:
        """Writes the plan into the data set's folder, if it is not there yet. `digest`: the tokenizer's.

        Raises a `DatasetError` where the data set has tokens of another tokenizer.
        """
        folder = out / FOLDER
        if (folder / SETTINGS).exists():
            if (before := self.digest_of(out)) != digest:
                raise DatasetError(
                    f"{out} has tokens of the tokenizer {before[:12]}…, and the model is now {digest[:12]}…: use that"
                    " one, or another folder"
                )
            return
        with whole(folder / CLIPS) as part:
            part.write_text("".join(line + "\n" for line in self._clip_lines()), "utf-8")
        # Last: with it, the plan is whole.
        write_json(folder / SETTINGS, self._settings() | {TOKENIZER: digest})

    def _clip_lines(self) -> list[str]:
        return [json.dumps(asdict(clip)) for clip in self.clips]


def _compare(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    groups = ("options", "layout_options")

    def flat(settings: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name not in groups} | {
            name: value for group in groups for name, value in settings.get(group, {}).items()
        }

    olds, news = flat(before), flat(now)
    for name in sorted(olds.keys() | news.keys()):
        if (old := olds.get(name)) != (new := news.get(name)):
            raise DatasetError(
                f"{out} has a data set with {name} = {old}, not {new}: give the same options to go on with it, or"
                " another folder"
            )


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other processes from working on the same data set. Raises a `DatasetError` if one does."""
    folder = out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DatasetError(f"{out}: another process is making this data set") from error
    try:
        yield
    finally:
        os.close(descriptor)
