"""What is counted of each sample while its shard is written: codes, lengths, motion. Pure NumPy."""

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DatasetError
from .files import whole
from .plan import FOLDER
from .sample import Sample

# The earliest time that a ZIP entry can have: the bytes shall not depend on the clock.
NO_TIME = (1980, 1, 1, 0, 0, 0)
SECOND = 1_000_000_000
# Of each sample, in the order that they were added in.
COLUMNS = {
    "frames": np.int64,
    "latent_frames": np.int64,
    "tokens": np.int64,
    "width": np.int32,
    "height": np.int32,
    "seconds": np.float64,
    "motion": np.float64,
}


class Stats:
    """Counts of samples of one tokenizer."""

    def __init__(self) -> None:
        self.tokenizer: dict[str, Any] = {}
        """What made the tokens, as JSON; empty without samples."""
        self.codes: NDArray[np.int64] | None = None
        """FSQ: `[codebook]`, how often each code is there."""
        self.cells = 0
        """KL: how many vectors there are."""
        self.means: NDArray[np.float64] = np.zeros(0)
        """KL: `[channels]`."""
        self.squares: NDArray[np.float64] = np.zeros(0)
        """KL: `[channels]`, the sum of the squared distances from the mean."""
        self._keys: list[bytes] = []
        self._columns: dict[str, list[float]] = {name: [] for name in COLUMNS}

    @property
    def keys(self) -> list[str]:
        """Of the samples, in order."""
        return [key.decode() for key in self._keys]

    def column(self, name: str) -> NDArray[Any]:
        """A number of each sample. `seconds` is 0 where no frame has a time; `motion` is NaN as `motion_of` says."""
        return np.array(self._columns[name], COLUMNS[name])

    @property
    def deviations(self) -> NDArray[np.float64]:
        """KL: `[channels]`, standard deviations."""
        return np.sqrt(self.squares / max(1, self.cells))

    def add(self, sample: Sample) -> None:
        """Counts a sample."""
        tokenizer, tokens = sample.tokenizer, sample.tokens
        if not self._keys:
            self._begin({key: value for key, value in tokenizer.describe().items() if key != "pixels"})
        if self.codes is not None:
            self.codes += np.bincount(tokens.ravel(), minlength=len(self.codes))
        else:
            vectors = tokens.reshape(-1, tokens.shape[-1]).astype(np.float64)
            means = vectors.mean(axis=0)
            self._add_vectors(len(vectors), means, np.square(vectors - means).sum(axis=0))
        rows, columns = tokenizer.grid
        values = {
            "frames": sample.frames,
            "latent_frames": len(tokens),
            "tokens": len(tokens) * rows * columns,
            "width": tokenizer.width,
            "height": tokenizer.height,
            "seconds": seconds_of(sample.pts, sample.durations),
            "motion": motion_of(tokens, sample.segments),
        }
        self._keys.append(sample.key.encode())
        for name, value in values.items():
            self._columns[name].append(value)

    def merge(self, other: "Stats") -> None:
        """Adds those of other samples of the same tokenizer, behind these."""
        if not other._keys:
            return
        if not self._keys:
            self._begin(other.tokenizer)
        if self.tokenizer != other.tokenizer:
            raise DatasetError("samples of two tokenizers cannot be counted together")
        if self.codes is not None and other.codes is not None:
            self.codes += other.codes
        else:
            self._add_vectors(other.cells, other.means, other.squares)
        self._keys += other._keys
        for name, values in other._columns.items():
            self._columns[name] += values

    def _begin(self, tokenizer: dict[str, Any]) -> None:
        self.tokenizer = tokenizer
        if "codebook" in tokenizer:
            self.codes = np.zeros(tokenizer["codebook"], np.int64)
        else:
            self.means, self.squares = np.zeros(tokenizer["channels"]), np.zeros(tokenizer["channels"])

    def _add_vectors(self, cells: int, means: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        # Chan, Golub and LeVeque: no difference of large sums.
        total = self.cells + cells
        apart = means - self.means
        self.squares = self.squares + squares + np.square(apart) * (self.cells * cells / total)
        self.means = self.means + apart * (cells / total)
        self.cells = total

    def save(self, path: Path) -> None:
        """Writes an `.npz` file, whole or not at all. The same samples give the same bytes."""
        arrays: dict[str, NDArray[Any]] = {
            "tokenizer": np.frombuffer(json.dumps(self.tokenizer, sort_keys=True).encode(), np.uint8),
            "keys": np.array(self._keys, np.bytes_),
            **{name: self.column(name) for name in COLUMNS},
        }
        if self.codes is not None:
            # Most codes of a large codebook are not in a shard.
            used = np.flatnonzero(self.codes)
            arrays |= {"codes": used.astype(np.uint32), "counts": self.codes[used]}
        else:
            arrays |= {"cells": np.array(self.cells), "means": self.means, "squares": self.squares}
        with whole(path) as part, zipfile.ZipFile(part, "w") as file:
            for name, values in sorted(arrays.items()):
                with file.open(zipfile.ZipInfo(name + ".npy", NO_TIME), "w") as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)

    @classmethod
    def load(cls, path: Path) -> "Stats":
        """Those of a file. Raises a `DatasetError` if it is missing or damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            stats = cls()
            if tokenizer := json.loads(arrays["tokenizer"].tobytes()):
                stats._begin(tokenizer)
            if stats.codes is not None:
                stats.codes[arrays["codes"]] = arrays["counts"]
            elif tokenizer:
                stats.cells = int(arrays["cells"])
                stats.means, stats.squares = arrays["means"], arrays["squares"]
            stats._keys = arrays["keys"].tolist()
            stats._columns = {name: arrays[name].tolist() for name in COLUMNS}
        except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile) as error:
            raise DatasetError(
                f"{path}: what was counted of the tokens cannot be read ({error}): make the data set again in another"
                " folder"
            ) from error
        return stats


def counted(samples: Iterable[Sample], stats: Stats) -> Iterator[Sample]:
    """The same samples, each counted in `stats`."""
    for sample in samples:
        stats.add(sample)
        yield sample


def seconds_of(pts: NDArray[np.int64], durations: NDArray[np.int64]) -> float:
    """From the first frame's time to the end of the last one whose time is known."""
    known = np.flatnonzero(pts >= 0)
    if not len(known):
        return 0.0
    first, last = known[0], known[-1]
    return float(pts[last] - pts[first] + max(0, int(durations[last]))) / SECOND


def motion_of(tokens: NDArray[Any], segments: NDArray[np.int64]) -> float:
    """How much a latent frame differs from the one before it in its segment, on average.

    FSQ: the share of tokens that are others. KL: the mean absolute difference. NaN where no segment has two latent
    frames.
    """
    follows = np.ones(len(tokens), bool)
    follows[segments[:, 0]] = False
    at = np.flatnonzero(follows)
    if not len(at):
        return float("nan")
    if tokens.dtype.kind == "f":
        return float(np.abs(tokens[at].astype(np.float64) - tokens[at - 1]).mean())
    return float((tokens[at] != tokens[at - 1]).mean())


def entropy(counts: NDArray[Any]) -> float:
    """Of a distribution, in bits."""
    shares = counts[counts > 0] / max(1, counts.sum())
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def digit_counts(codes: NDArray[np.int64], levels: Iterable[int]) -> list[NDArray[np.int64]]:
    """How often each digit of an FSQ index has each value: `[level]` for each digit, the lowest digit first."""
    rest, found = codes, []
    for level in levels:
        # The rows are the higher digits.
        table = rest.reshape(-1, level)
        found.append(table.sum(axis=0))
        rest = table.sum(axis=1)
    return found


def stats_file(out: Path, shard: int) -> Path:
    """Where those of a shard are."""
    return out / FOLDER / f"stats-{shard:06d}.npz"
