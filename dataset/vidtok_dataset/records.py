"""What became of each clip, on disk: written once, and never before its tokens are."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import PART, read_json, write_json
from .pipeline import Tokenized
from .plan import FOLDER
from .sources import Clip

TOKENS = ".vidtok"
RECORD = ".json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A clip that is done with."""

    clip: Clip
    skipped: str | None = None
    """Why there are no tokens of it."""
    tokenized: Tokenized | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Record":
        tokenized = value["tokenized"]
        return cls(
            clip=Clip(**value["clip"]),
            skipped=value["skipped"],
            tokenized=None if tokenized is None else Tokenized(**tokenized),
        )


class Records:
    """Those of one shard."""

    def __init__(self, out: Path, shard: int) -> None:
        self._folder = out / FOLDER / "shards" / f"{shard:06d}"

    def tokens(self, clip: Clip) -> Path:
        """Where the clip's tokens are until the shard is written."""
        return self._folder / (clip.key + TOKENS)

    def get(self, clip: Clip) -> Record | None:
        """The clip's record; `None`: it is not done with, or not whole."""
        try:
            return Record.of(read_json(self._folder / (clip.key + RECORD)))
        except (FileNotFoundError, json.JSONDecodeError):
            return None

    def put(self, record: Record) -> None:
        """Tokens, if any, are in their place already. Their name is on the disk when the record's is."""
        # In one line: `json` indents in Python, which takes longer than all else here.
        write_json(self._folder / (record.clip.key + RECORD), record.to_json(), indent=None)

    def clean(self) -> None:
        """Removes what was cut off in writing."""
        for path in self._folder.glob("*" + PART):
            path.unlink(missing_ok=True)

    def drop_tokens(self, clips: Iterable[Clip]) -> None:
        """The shard is written."""
        for clip in clips:
            self.tokens(clip).unlink(missing_ok=True)
