"""Parquet: a row a sample, latents as FastVideo names them."""

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import whole
from ..sample import Sample
from .base import BFLOAT16, FileEntry, Layout, LayoutError, needed
from .output import entry

LATENTS, TOKENS = "vae_latent", "tokens"
# Of tokens in a row group. Loaders read a whole group for one row; many groups make a long footer.
GROUP_BYTES = 1 << 20


class Parquet(Layout):
    """`shard-00000.parquet` and so on, a row a sample. An empty shard has no file.

    An array NAME is in three columns: `NAME_bytes`, `NAME_shape`, `NAME_dtype`.
    """

    name = "parquet"
    index_types = ("int32", "uint16", "int16", "uint32", "int64")
    latent_types = ("float32", "float16", BFLOAT16)
    packages = ("pyarrow.parquet",)
    reserved = (LATENTS, TOKENS)

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        arrow, parquet = needed("pyarrow", self.name), needed("pyarrow.parquet", self.name)
        path = folder / f"shard-{number:05d}.parquet"
        samples = iter(samples)
        first = next(samples, None)
        if first is None:
            return []
        schema = _schema(arrow, first)
        with whole(path) as part, parquet.ParquetWriter(part, schema, compression="zstd", version="2.6") as writer:
            rows: list[dict[str, Any]] = []
            waiting = 0
            for sample in chain([first], samples):
                self.check(sample.tokenizer, None, sample.fields)
                if sorted(sample.fields) != sorted(first.fields) or _tokens_name(sample) != _tokens_name(first):
                    raise LayoutError(f"fields: {sample.key} has others than {first.key}, which is in its shard")
                rows.append(self._row(sample))
                waiting += sum(len(value) for value in rows[-1].values() if isinstance(value, bytes))
                if waiting >= GROUP_BYTES:
                    writer.write_table(arrow.Table.from_pylist(rows, schema))
                    rows, waiting = [], 0
            if rows:
                writer.write_table(arrow.Table.from_pylist(rows, schema))
        return [entry(folder, path)]

    def _row(self, sample: Sample) -> dict[str, Any]:
        described = sample.describe()
        length = int(sample.durations.sum()) / 1e9 if (sample.durations >= 0).all() else None
        row: dict[str, Any] = {
            "id": sample.key,
            "file_name": sample.source,
            "caption": "",
            "media_type": "video",
            "width": sample.tokenizer.width,
            "height": sample.tokenizer.height,
            "num_frames": sample.frames,
            "duration_sec": length,
            "fps": sample.frames / length if length else None,
            "source_sha256": sample.source_sha256,
            "first_frame": sample.first_frame,
            "latent_frames": len(sample.tokens),
            "segments": described["segments"],
            "tokenizer": json.dumps(described["tokenizer"]),
            "pts": sample.pts.tolist(),
            "durations": sample.durations.tolist(),
        }
        arrays = {_tokens_name(sample): self.convert(sample), **sample.fields}
        for name, values in arrays.items():
            row |= {f"{name}_bytes": _bytes(values), f"{name}_shape": values.shape, f"{name}_dtype": values.dtype.name}
        return row


def _tokens_name(sample: Sample) -> str:
    return TOKENS if sample.tokenizer.codebook else LATENTS


def _bytes(values: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _schema(arrow: Any, sample: Sample) -> Any:
    texts, integers = ("id", "file_name", "caption", "media_type"), ("width", "height", "num_frames")
    columns = [(name, arrow.string()) for name in texts]
    columns += [(name, arrow.int64()) for name in integers]
    columns += [("duration_sec", arrow.float64()), ("fps", arrow.float64()), ("source_sha256", arrow.string())]
    columns += [("first_frame", arrow.int64()), ("latent_frames", arrow.int64())]
    columns += [("segments", arrow.list_(arrow.list_(arrow.int64()))), ("tokenizer", arrow.string())]
    columns += [("pts", arrow.list_(arrow.int64())), ("durations", arrow.list_(arrow.int64()))]
    for name in (_tokens_name(sample), *sorted(sample.fields)):
        columns += [(f"{name}_bytes", arrow.binary()), (f"{name}_shape", arrow.list_(arrow.int64()))]
        columns += [(f"{name}_dtype", arrow.string())]
    return arrow.schema(columns)
