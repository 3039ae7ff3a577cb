"""Side data of video frames: actions, poses, whatever has numbers for each."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vidtok_stream import Stream

from .errors import ClipError

NANOSECONDS = 1_000_000_000
TIME, FRAME = "time", "frame"


@dataclass(frozen=True)
class SideData:
    """Rows of numbers, by time or by frame."""

    at: NDArray[np.int64]
    """`[rows]`, rising: nanoseconds of the video, or numbers of its frames."""
    is_by_frame: bool
    fields: Mapping[str, NDArray[Any]]
    """By name; the first axis is rows. Whole numbers are int64, others float32."""

    @classmethod
    def read(cls, path: Path) -> "SideData":
        """A JSON-lines file: each row an object with `time` (seconds) or `frame`, and numbers or lists of numbers.

        Raises a `ClipError` that says where the file is wrong.
        """
        rows: list[dict[str, Any]] = []
        try:
            for line, text in enumerate(path.read_text("utf-8").split("\n"), 1):
                if text.strip():
                    rows.append(_row(f"{path}, line {line}", json.loads(text)))
        except (OSError, UnicodeDecodeError) as error:
            raise ClipError(f"the side data {path} cannot be read: {error}") from error
        except (ValueError, RecursionError) as error:
            raise ClipError(f"{path}, line {line}: {error}") from error
        if not rows:
            raise ClipError(f"the side data {path} has no rows")
        names = rows[0].keys()
        for number, row in enumerate(rows, 1):
            if row.keys() != names:
                raise ClipError(f"{path}, row {number}: it has {', '.join(row)}, and the first row {', '.join(names)}")
        is_by_frame = FRAME in names
        at = np.array([row[FRAME] if is_by_frame else round(row[TIME] * NANOSECONDS) for row in rows], np.int64)
        if (np.diff(at) <= 0).any():
            raise ClipError(f"{path}: rows are not in the order of their {FRAME if is_by_frame else TIME}")
        columns = [name for name in names if name not in (TIME, FRAME)]
        return cls(at, is_by_frame, {name: _column(path, name, [row[name] for row in rows]) for name in columns})

    def of_frames(self, stream: Stream, start: float | None) -> dict[str, NDArray[Any]]:
        """The values of each frame of a clip's tokens; the first axis is frames.

        By time: the row that is nearest, within half a frame. By frame: the row of that number, counted from 0 in the
        whole video. Raises a `ClipError` for a frame without a row.
        """
        if self.is_by_frame:
            if start is not None:
                raise ClipError('side data by "frame" is of whole videos: give "time" for parts of them')
            wanted = np.arange(len(stream.pts)) * picked_every(stream.format.pixels)
            tolerance = np.zeros(len(wanted))
        else:
            wanted = stream.pts
            tolerance = _durations(stream) / 2
        behind = np.clip(np.searchsorted(self.at, wanted), 1, max(len(self.at) - 1, 1))
        pair = np.stack([behind - 1, np.minimum(behind, len(self.at) - 1)])
        nearest = np.take_along_axis(pair, np.abs(self.at[pair] - wanted).argmin(axis=0)[None], axis=0)[0]
        missing = np.abs(self.at[nearest] - wanted) > tolerance
        if missing.any():
            frame = int(missing.argmax())
            raise ClipError(
                f"the side data has no row for frame {frame}, at {stream.pts[frame] / NANOSECONDS:.3f} s"
                f" ({missing.sum()} of {len(wanted)} frames have none)"
            )
        return {name: values[nearest] for name, values in self.fields.items()}


def _durations(stream: Stream) -> NDArray[np.int64]:
    """Of each frame. A last one whose duration nobody knows lasts as long as the one before."""
    durations = stream.durations.copy()
    for unknown in np.flatnonzero(durations < 0):
        durations[unknown] = durations[unknown - 1] if unknown else 0
    return durations


def picked_every(pixels: str | None) -> int:
    """Every how many-th frame of the video was tokenized, as a stream header's `pixels` says."""
    found = re.search(r"(?:^| )every=(\d+)", pixels or "")
    return int(found[1]) if found else 1


def _row(where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict) or (TIME in row) == (FRAME in row):
        raise ClipError(f'{where}: an object with "{TIME}" (seconds) or "{FRAME}" was expected')
    at = row.get(TIME, row.get(FRAME))
    if isinstance(at, bool) or not isinstance(at, int if FRAME in row else int | float) or not 0 <= at < 1e9:
        raise ClipError(f"{where}: {at!r} is no {FRAME if FRAME in row else TIME}")
    return row


def _column(path: Path, name: str, values: list[Any]) -> NDArray[Any]:
    try:
        array = np.array(values)
    except ValueError as error:
        raise ClipError(f"{path}: {name} has lists of different lengths") from error
    match array.dtype.kind:
        case "b" | "i":
            return array.astype(np.int64)
        case "f" if (np.abs(array) <= np.finfo(np.float32).max).all():
            return array.astype(np.float32)
        case "f" | "u" | "O":
            raise ClipError(f"{path}: {name} has a number that is too large, or no number")
        case _:
            raise ClipError(f"{path}: {name} has other values than numbers")
