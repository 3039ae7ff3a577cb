"""MosaicML's MDS: https://github.com/mosaicml/streaming.

The package's own writer holds a whole shard in memory and brings PyTorch and the clients of five clouds, so the bytes
are made here. They are those of version 2 of the format.
"""

import json
import shutil
import struct
import tempfile
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..files import PIECE, whole, write_json
from ..sample import Sample
from .base import FileEntry, Layout, LayoutError, ShardInfo
from .output import entry, json_line, same

OWN = ("key", "sample", "tokens", "pts", "durations")
# Offsets are uint32.
MAX_SHARD = (1 << 32) - 1
SHAPE_TYPES = ("<u1", "<u2", "<u4")


class Mds(Layout):
    """`shard.00000.mds` and so on, and `index.json`. An empty shard has no file."""

    name = "mds"
    index_types = ("int32", "uint16", "int16", "uint32", "int64")
    reserved = OWN

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"shard.{number:05d}.mds"
        config: dict[str, Any] = {}
        sizes = array("Q")
        # The offsets stand in front, and are known at the end.
        with tempfile.TemporaryFile(dir=folder) as body:
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                columns = self._columns(sample)
                config = same(config, _config(columns), sample.key)
                sizes.append(_write_row(body, [data for _, data in columns.values()]))
            if not sizes:
                return []
            text = json.dumps(config, sort_keys=True).encode()
            first = 4 + 4 * (len(sizes) + 1) + len(text)
            if first + sum(sizes) > MAX_SHARD:
                raise LayoutError(f"shard: {path.name} would have more than 4 GiB; make smaller shards")
            offsets = first + np.concatenate([[0], np.cumsum(sizes)])
            body.seek(0)
            with whole(path) as part, open(part, "wb") as file:
                file.write(struct.pack("<I", len(sizes)) + offsets.astype("<u4").tobytes() + text)
                shutil.copyfileobj(body, file, PIECE)
        return [entry(folder, path)]

    def _columns(self, sample: Sample) -> dict[str, tuple[str, bytes]]:
        """Encoding and bytes of each column, by name."""
        arrays = {"tokens": self.convert(sample), "pts": sample.pts, "durations": sample.durations, **sample.fields}
        columns = {"key": ("str", sample.key.encode()), "sample": ("json", json_line(sample.describe()).strip())}
        columns |= {name: _array(name, values) for name, values in arrays.items()}
        return dict(sorted(columns.items()))

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        files = [each for shard in shards for each in shard.files]
        write_json(folder / "index.json", {"shards": [_about(folder, each) for each in files], "version": 2})
        return [entry(folder, folder / "index.json")]


def _config(columns: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
    return {
        "column_encodings": [encoding for encoding, _ in columns.values()],
        "column_names": list(columns),
        "column_sizes": [None] * len(columns),
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }


def _array(name: str, values: NDArray[Any]) -> tuple[str, bytes]:
    if values.dtype.kind == "b" or values.dtype.itemsize > 8 or not values.size:
        raise LayoutError(f"{name}: the layout mds does not hold an array of {values.dtype} and {list(values.shape)}")
    shape_type = next(kind for kind in SHAPE_TYPES if max(values.shape) <= np.iinfo(kind).max)
    head = bytes([values.ndim << 2 | SHAPE_TYPES.index(shape_type)]) + np.array(values.shape, shape_type).tobytes()
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return f"ndarray:{values.dtype.name}", head + little.tobytes()


def _write_row(file: BinaryIO, columns: Sequence[bytes]) -> int:
    lengths = np.array([len(data) for data in columns], "<u4").tobytes()
    return sum(file.write(data) for data in (lengths, *columns))


def _about(folder: Path, shard: FileEntry) -> dict[str, Any]:
    """What the index says of a shard, from the file's head."""
    with open(folder / shard.path, "rb") as file:
        [samples] = struct.unpack("<I", file.read(4))
        [begin] = struct.unpack("<I", file.read(4))
        file.seek(4 + 4 * (samples + 1))
        config = json.loads(file.read(begin - file.tell()))
    raw = {"basename": shard.path, "bytes": shard.bytes, "hashes": {}}
    return config | {"raw_data": raw, "samples": samples, "zip_data": None}
