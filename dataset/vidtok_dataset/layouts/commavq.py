"""The layouts of comma.ai's commaVQ: https://github.com/commaai/commavq."""

import gzip
import json
import tarfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole, write_json
from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, LayoutError, ShardInfo
from .output import add_member, entries, entry, join, json_line, npy, same, whole_folder


class CommaVQ(Layout):
    """`data-0000.tar.gz` and so on: `KEY.token.npy`, `KEY.json`, and `KEY.NAME.npy` for side data such as `pose`."""

    name = "commavq"
    index_types = ("int16",)

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        if "token" in fields:
            raise LayoutError("token: the layout commavq has its tokens under this name; rename the side data")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        path = folder / f"data-{number:04d}.tar.gz"
        with (
            whole(path) as part,
            open(part, "wb") as file,
            # Without a name and a time, which would differ from run to run.
            gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                described = {"file_name": sample.key} | sample.describe_with_times()
                add_member(tar, f"{sample.key}.json", json_line(described))
                for name in sorted(sample.fields):
                    add_member(tar, f"{sample.key}.{name}.npy", npy(sample.fields[name]))
                add_member(tar, f"{sample.key}.token.npy", npy(self.convert(sample)))
        return [entry(folder, path)]


class CommaVQFlat(Layout):
    """`train.bin`: each latent frame behind a BOS, each segment in front of an EOT; for nanoGPT and its like."""

    name = "commavq-flat"
    has_one_grid = True
    index_types = ("uint16", "uint32")
    keeps_shards = False

    def __init__(self, dtype: str | None = None, split: str = "train") -> None:
        super().__init__(dtype)
        if split not in ("train", "val"):
            raise LayoutError(f"split: {split!r} is neither train nor val")
        self.split = split

    def largest(self, tokenizer: Tokenizer) -> int:
        assert tokenizer.codebook
        return tokenizer.codebook + 1

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        if fields:
            raise LayoutError(f"{sorted(fields)[0]}: the layout commavq-flat has no place for side data")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        target = folder / "pieces" / f"{number:05d}"
        tokens = 0
        made: dict[str, Any] = {}
        with (
            whole_folder(target) as part,
            open(part / "tokens.bin", "wb") as file,
            open(part / "samples.jsonl", "wb") as lines,
        ):
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                made = same(made, self._made(sample), sample.key)
                flat = self.convert(sample).reshape(len(sample.tokens), -1)
                for start, count in sample.segments[:, :2].tolist():
                    frames = np.pad(flat[start : start + count], ((0, 0), (1, 0)), constant_values=made["bos"])
                    segment = np.append(frames, np.array(made["eot"], flat.dtype))
                    tokens += file.write(segment.astype(flat.dtype).tobytes()) // flat.dtype.itemsize
                lines.write(json_line(sample.describe_with_times()))
            (part / "piece.json").write_text(json.dumps(made | {"tokens": tokens}), "utf-8")
        return entries(folder, target)

    def _made(self, sample: Sample) -> dict[str, Any]:
        tokenizer = sample.tokenizer
        assert tokenizer.codebook
        return {
            "dtype": self.type_of(tokenizer),
            "bos": tokenizer.codebook,
            "eot": tokenizer.codebook + 1,
            "vocab_size": tokenizer.codebook + 2,
            "grid": list(tokenizer.grid),
            "time_factor": tokenizer.time_factor,
            "tokenizer": tokenizer.digest,
        }

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        pieces = [folder / "pieces" / f"{shard.number:05d}" for shard in shards]
        made: dict[str, Any] = {}
        tokens = 0
        for piece in pieces:
            here = json.loads((piece / "piece.json").read_text("utf-8"))
            tokens += here.pop("tokens")
            if here:
                made = same(made, here, f"shard {piece.name}")
        if not tokens:
            raise LayoutError("tokens: the layout commavq-flat cannot hold a data set of no samples")
        names = {"tokens.bin": f"{self.split}.bin", "samples.jsonl": f"{self.split}_samples.jsonl"}
        for inner, name in names.items():
            with whole(folder / name) as part, open(part, "wb") as target:
                join((piece / inner for piece in pieces), target)
        about = f"{self.split}_metadata.json"
        write_json(folder / about, made | {"tokens": tokens})
        return [entry(folder, folder / name) for name in sorted([about, *names.values()])]
