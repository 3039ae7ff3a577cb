"""WebDataset: https://github.com/webdataset/webdataset. Also what Ray and Hugging Face read as such."""

import tarfile
from collections.abc import Iterable
from pathlib import Path

from ..files import whole
from ..sample import Sample
from .base import FileEntry, Layout
from .output import add_member, entry, json_line, npy

OWN = ("tokens", "pts", "durations")


class WebDataset(Layout):
    """`shard-000000.tar`: `KEY.json`, and `KEY.NAME.npy` for `tokens`, `pts`, `durations` and side data."""

    name = "webdataset"
    index_types = ("int32", "uint16", "int16", "uint32", "int64")
    reserved = OWN

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        path = folder / f"shard-{number:06d}.tar"
        with whole(path) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as tar:
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                add_member(tar, f"{sample.key}.json", json_line(sample.describe()))
                arrays = {"durations": sample.durations, "pts": sample.pts, "tokens": self.convert(sample)}
                for name, values in sorted({**sample.fields, **arrays}.items()):
                    add_member(tar, f"{sample.key}.{name}.npy", npy(values))
        return [entry(folder, path)]
