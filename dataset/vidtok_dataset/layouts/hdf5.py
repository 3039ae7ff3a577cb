"""HDF5: all latent frames of a shard one behind the other."""

import json
from collections.abc import Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import whole
from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, needed
from .output import entry, same

CHUNK_BYTES, CHUNK_ROWS = 1 << 18, 1 << 12


class Hdf5(Layout):
    """`shard-00000.h5` and so on: `tokens` `[N, h · w]`, and where samples begin. An empty shard has no file."""

    name = "hdf5"
    has_one_grid = True
    index_types = ("int32", "uint16", "int16", "uint32", "int64")

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        needed("h5py", self.name)

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        h5py = needed("h5py", self.name)
        path = folder / f"shard-{number:05d}.h5"
        samples = iter(samples)
        first = next(samples, None)
        if first is None:
            return []
        made: dict[str, Any] = {}
        segments = 0
        with whole(path) as part, h5py.File(part, "w") as file:
            for sample in chain([first], samples):
                self.check(sample.tokenizer, None, sample.fields)
                made = same(made, self._made(sample), sample.key)
                counts = sample.segments[:, 1]
                ids = np.repeat(np.arange(segments, segments + len(counts)), counts)
                segments += len(counts)
                _append(file, "tokens", self.convert(sample).reshape(len(sample.tokens), -1))
                _append(file, "segment_ids", ids.astype("<i4"))
                _append(file, "pts", sample.pts)
                _append(file, "durations", sample.durations)
                for name, values in sample.fields.items():
                    _append(file, f"fields/{name}", values)
                _append(file, "samples", np.array([json.dumps(sample.describe())], h5py.string_dtype()))
                _append(file, "latent_ends", np.array([len(file["tokens"])]))
                _append(file, "frame_ends", np.array([len(file["pts"])]))
            for name, value in made.items():
                if name not in ("dtype", "fields"):
                    file.attrs[name] = value
        return [entry(folder, path)]

    def _made(self, sample: Sample) -> dict[str, Any]:
        tokenizer = sample.tokenizer
        assert tokenizer.levels
        made = {
            "codebook_size": tokenizer.codebook,
            "dtype": self.type_of(tokenizer),
            "fields": {name: (str(values.dtype), values.shape[1:]) for name, values in sorted(sample.fields.items())},
            "grid": list(tokenizer.grid),
            "latent_dim": len(tokenizer.levels),
            "levels": list(tokenizer.levels),
            "time_factor": tokenizer.time_factor,
            "tokenizer": tokenizer.digest,
        }
        if len(set(tokenizer.levels)) == 1:
            made["num_bins"] = tokenizer.levels[0]
        return made


def _append(file: Any, name: str, values: NDArray[Any]) -> None:
    """Adds rows to an array of the file."""
    if name in file:
        rows = file[name]
        rows.resize(len(rows) + len(values), 0)
    else:
        inner = values.shape[1:]
        # Chunks are whole on the disk, even if they have one row.
        chunk = min(max(1, CHUNK_BYTES // max(1, values.dtype.itemsize * int(np.prod(inner)))), CHUNK_ROWS)
        packed = {"compression": "gzip", "shuffle": True} if values.dtype.kind != "O" else {}
        rows = file.create_dataset(
            name,
            shape=values.shape,
            maxshape=(None, *inner),
            dtype=values.dtype,
            chunks=(chunk, *inner),
            track_times=False,
            **packed,
        )
    rows[len(rows) - len(values) :] = values
