"""Which videos a data set is made of: folders, globs, lists, and tables with start and end times."""

import csv
import glob
import hashlib
import io
import json
import math
import mimetypes
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import DatasetError

# Video files that Python's table of types does not know.
MORE_SUFFIXES = frozenset(
    ".264 .265 .3g2 .3gp .asf .avi .divx .f4v .flv .h264 .h265 .hevc .m2ts .m4v .mjpeg .mkv .mpv .mts .mxf .ogm .ogv"
    " .rm .ts .vob .webm .wmv .y4m".split()
)
TABLES = frozenset([".csv", ".jsonl", ".txt"])
# The names that tables of videos use for the same thing.
PATH_COLUMNS = ("path", "video", "file", "video_path", "file_name")
START_COLUMNS = ("start", "start_time")
END_COLUMNS = ("end", "end_time")
KEY_COLUMNS = ("key", "id")
MAX_KEY = 120


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A video, or a part of one."""

    key: str
    """Its name in the data set: letters, digits, `-` and `_`, and unique."""
    path: str
    start: float | None = None
    """Seconds; `None`: from the beginning."""
    end: float | None = None
    """Seconds; `None`: to the end."""


@dataclass(frozen=True, kw_only=True)
class _Found:
    path: Path
    name: str
    """What to make a key of."""
    start: float | None = None
    end: float | None = None
    key: str | None = None


def find_clips(sources: Iterable[str]) -> list[Clip]:
    """The clips of all `sources`, in their order; those of a folder or glob sorted by their paths.

    A source is a video, a folder, a pattern like `videos/*.mp4`, a list of paths (`.txt`, one a line), or a table
    (`.csv` with a header, `.jsonl`) with the column `path`, and, if wanted, `start`, `end` (seconds) and `key`. Paths
    in lists and tables are relative to the list's folder.

    Raises a `DatasetError` where a source is missing, or two clips are the same.
    """
    found = [each for source in sources for each in _of(source)]
    if not found:
        raise DatasetError("no videos: name videos, folders, patterns, lists or tables of them")
    return list(_with_keys(found))


def _of(source: str) -> Iterator[_Found]:
    if not source or "\0" in source:
        raise DatasetError(f"{source!r} is no source")
    path = Path(source)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if is_video_name(each) and each.is_file())
        if not files:
            raise DatasetError(f"{source}: no videos in this folder")
        for file in files:
            yield _Found(path=file, name=file.relative_to(path).with_suffix("").as_posix())
    elif path.suffix.lower() in TABLES and path.is_file():
        yield from _table(path)
    elif path.exists():
        yield _Found(path=path, name=path.stem)
    else:
        files = [Path(each) for each in sorted(glob.glob(source, recursive=True))]
        if not files:
            raise DatasetError(f"{source}: there is no such file or folder, and no file of such a name")
        videos = [file for file in files if is_video_name(file)]
        for file in videos or files:
            if file.is_file():
                yield _Found(path=file, name=file.with_suffix("").as_posix())


def is_video_name(path: Path) -> bool:
    """Whether a file's name is that of a video."""
    suffix = path.suffix.lower()
    kind = mimetypes.types_map.get(suffix, "")
    return not path.name.startswith(".") and (kind.startswith("video/") or suffix in MORE_SUFFIXES)


def _table(path: Path) -> Iterator[_Found]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {error}") from error
    rows: Iterable[tuple[int, dict[str, Any]]]
    match path.suffix.lower():
        case ".txt":
            lines = enumerate((line.strip() for line in text.split("\n")), 1)
            rows = ((at, {"path": line}) for at, line in lines if line and not line.startswith("#"))
        case ".csv":
            rows = _csv(path, text)
        case _:
            rows = _json_lines(path, text)
    empty = True
    for line, row in rows:
        empty = False
        yield _row(path, line, row)
    if empty:
        raise DatasetError(f"{path}: no rows")


def _csv(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: {error}") from error


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for at, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DatasetError(f"{path}, line {at}: {error}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{path}, line {at}: a JSON object was expected")
        yield at, row


def _row(table: Path, line: int, row: dict[str, Any]) -> _Found:
    where = f"{table}, line {line}"

    def cell(names: Iterable[str]) -> Any:
        return next((row[name] for name in names if row.get(name) not in (None, "")), None)

    def seconds(names: tuple[str, ...]) -> float | None:
        if (value := cell(names)) is None:
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < 1e9:
            raise DatasetError(f"{where}: {names[0]} is in seconds, not {value!r}")
        return number

    video = cell(PATH_COLUMNS)
    if not isinstance(video, str) or "\0" in video or not Path(video).name:
        raise DatasetError(f'{where}: no path of a video (the column is called "{PATH_COLUMNS[0]}")')
    start, end = seconds(START_COLUMNS), seconds(END_COLUMNS)
    if end is not None and end <= (start or 0):
        raise DatasetError(f"{where}: a part that ends at {end:g} s, where it starts or before")
    key = cell(KEY_COLUMNS)
    path = Path(video)
    return _Found(
        path=path if path.is_absolute() else table.parent / path,
        name=path.with_suffix("").as_posix(),
        start=start,
        end=end,
        key=None if key is None else str(key),
    )


def _with_keys(found: list[_Found]) -> Iterator[Clip]:
    names = [_key(each) for each in found]
    counts = Counter(names)
    clips: dict[str, _Found] = {}
    for each, name in zip(found, names, strict=True):
        # Names that differ in letters that keys cannot have: told apart by their paths.
        if counts[name] > 1:
            name = f"{name[: MAX_KEY - 9]}-{hashlib.sha256(os.fsencode(each.path)).hexdigest()[:8]}"
        if (other := clips.get(name)) is not None:
            raise DatasetError(f"{each.path}: the clip comes twice, or two have the key {name!r} (also {other.path})")
        clips[name] = each
        yield Clip(key=name, path=os.path.abspath(each.path), start=each.start, end=each.end)


def _key(found: _Found) -> str:
    if found.key is not None:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,120}", found.key):
            raise DatasetError(f"{found.path}: the key {found.key!r} has other characters than A-Z a-z 0-9 _ -")
        return found.key
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", found.name).strip("_") or "clip"
    if found.start is not None or found.end is not None:
        part = "-".join("" if time is None else f"{round(time * 1000)}ms" for time in (found.start or 0.0, found.end))
        name = f"{name[: MAX_KEY - len(part) - 1]}-{part}"
    return name[-MAX_KEY:]
