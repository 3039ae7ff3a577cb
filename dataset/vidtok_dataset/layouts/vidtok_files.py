"""The `.vidtok` files themselves."""

import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, LayoutError
from .output import entries, json_line, npy, whole_folder

CUT = (
    "cut out of a clip's tokens decodes only with those before it; the layout vidtok holds whole clips, and windows"
    " that are tokenized alone"
)


class Vidtok(Layout):
    """`shard-00000/KEY.vidtok`, `KEY.json`, and `KEY.NAME.npy` for side data: what `vidtokdec` plays."""

    name = "vidtok"

    def type_of(self, tokenizer: Tokenizer) -> str:
        # The files' own type stays.
        return "uint32" if tokenizer.codebook else "float32"

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        if is_cut:
            raise LayoutError(f"windows: a window that is {CUT}")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        target = folder / f"shard-{number:05d}"
        with whole_folder(target) as part:
            for sample in samples:
                if sample.file is None:
                    raise LayoutError(f"windows: {sample.key}, which is {CUT}")
                path = part / f"{sample.key}.vidtok"
                if path.exists():
                    raise LayoutError(f"key: two samples of the shard are called {sample.key}")
                _link_or_copy(sample.file, path)
                path.with_suffix(".json").write_bytes(json_line(sample.describe()))
                for name, values in sample.fields.items():
                    path.with_suffix(f".{name}.npy").write_bytes(npy(values))
        return entries(folder, target)


def _link_or_copy(source: Path, target: Path) -> None:
    # Both are on one file system as a rule, and neither is changed later.
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
