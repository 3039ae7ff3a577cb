"""What all layouts have in common."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DatasetError
from ..files import sha256_of
from ..sample import Sample, Tokenizer

BFLOAT16 = "bfloat16"


class LayoutError(DatasetError):
    """A layout cannot hold what it was given. The text names the field."""


@dataclass(frozen=True)
class FileEntry:
    """A file of the data set, as the manifest lists it."""

    path: str
    """From the data set's folder, with `/`."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ShardInfo:
    """A shard that is written."""

    number: int
    files: tuple[FileEntry, ...]


class Layout(ABC):
    """Writes samples as one kind of loader reads them.

    Writing the same samples twice gives the same bytes. Shards do not depend on each other, and can be written at the
    same time, in any order.
    """

    name: ClassVar[str]
    index_types: ClassVar[tuple[str, ...]] = ()
    """Types that FSQ indices may have, the default first. Empty: the layout does not hold them."""
    latent_types: ClassVar[tuple[str, ...]] = ()
    """Types that KL latents may have, the default first. Empty: the layout does not hold them."""
    has_one_grid: ClassVar[bool] = False
    """Whether latent frames of all samples have the same size."""
    has_one_rate: ClassVar[bool] = False
    """Whether frames of all samples come at the same rate."""
    packages: ClassVar[tuple[str, ...]] = ()
    """What has to be installed for it."""
    reserved: ClassVar[tuple[str, ...]] = ()
    """Names that side data cannot have."""
    keeps_shards: ClassVar[bool] = True
    """Whether shards are part of the data set. Otherwise `finish` joins them; the job deletes their files once the
    manifest is written."""

    needs_whole_windows: ClassVar[bool] = False
    """Whether a window that is shorter than the others, as the last one of a clip may be, has no place. The job leaves
    them out."""

    def __init__(self, dtype: str | None = None) -> None:
        allowed = dict.fromkeys((*self.index_types, *self.latent_types))
        if dtype is not None and dtype not in allowed:
            has = _listed(allowed) if allowed else "the type that the tokens have"
            raise LayoutError(f"dtype: the layout {self.name} has {has}, not {dtype}")
        self.dtype = dtype

    def type_of(self, tokenizer: Tokenizer) -> str:
        """The type that its tokens have in the files: a NumPy name, or `bfloat16`."""
        kind = "FSQ indices" if tokenizer.codebook else "KL latents"
        types = self.index_types if tokenizer.codebook else self.latent_types
        if not types:
            raise LayoutError(f"codebook: the layout {self.name} does not hold {kind}; {_holders(tokenizer)}")
        dtype = self.dtype or types[0]
        if dtype not in types:
            raise LayoutError(f"dtype: {kind} are {_listed(types)} in the layout {self.name}, not {dtype}")
        if tokenizer.codebook and (most := self.largest(tokenizer)) > np.iinfo(dtype).max:
            raise LayoutError(
                f"codebook: {tokenizer.codebook} codes, so numbers up to {most}, are more than {dtype} holds"
                f" (layout {self.name}, which has {_listed(types)})"
            )
        return dtype

    def largest(self, tokenizer: Tokenizer) -> int:
        """The largest number that is written for a token."""
        assert tokenizer.codebook
        return tokenizer.codebook - 1

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        """Raises a `LayoutError` that names the field if the layout cannot hold such samples.

        `window`: video frames of each sample, `None` for whole clips. `fields`: names of side data. `is_cut`: windows
        are cut out of a clip's tokens, rather than tokenized alone.
        """
        for package in (*self.packages, *(["ml_dtypes"] if self.type_of(tokenizer) == BFLOAT16 else [])):
            needed(package, self.name)
        if taken := sorted(set(fields) & set(self.reserved)):
            raise LayoutError(
                f"{taken[0]}: the layout {self.name} has something else under this name; rename the side data"
            )

    def convert(self, sample: Sample) -> NDArray[Any]:
        """The sample's tokens in the type of the files: `[F, h, w]`, or KL `[C, F, h, w]`."""
        dtype = self.type_of(sample.tokenizer)
        if sample.tokenizer.codebook:
            return np.ascontiguousarray(sample.tokens, np.dtype(dtype).newbyteorder("<"))
        latents = np.ascontiguousarray(np.moveaxis(sample.tokens, -1, 0))
        if dtype == BFLOAT16:
            converted = latents.astype(needed("ml_dtypes", self.name).bfloat16)
        else:
            with np.errstate(over="ignore"):
                converted = latents.astype(np.dtype(dtype).newbyteorder("<"))
        if not np.isfinite(converted.astype(np.float32)).all():
            raise LayoutError(f"dtype: {sample.key} has latents that {dtype} does not hold")
        return converted

    @abstractmethod
    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        """Writes the shard's files, whole or not at all. It holds one sample in memory at a time."""

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        """Writes the files that are about all shards, and returns them."""
        return []


def verify(folder: Path) -> list[str]:
    """What is wrong with the files that `manifest.json` lists under `files`: a sentence for each."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    wrong = []
    for entry in manifest["files"]:
        path = folder / entry["path"]
        if not path.resolve().is_relative_to(folder.resolve()):
            wrong.append(f"{entry['path']}: is not in the data set's folder")
        elif not path.is_file():
            wrong.append(f"{entry['path']}: is missing")
        elif (size := path.stat().st_size) != entry["bytes"]:
            wrong.append(f"{entry['path']}: has {size} bytes, not {entry['bytes']}")
        elif sha256_of(path) != entry["sha256"]:
            wrong.append(f"{entry['path']}: its checksum is another")
    return wrong


def needed(module: str, layout: str) -> Any:
    """Imports a package that only some layouts need."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise LayoutError(
            f"the layout {layout} needs {module.partition('.')[0]}: pip install 'vidtok-dataset[{layout}]' ({error})"
        ) from error


def _listed(names: Iterable[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} or {last}" if front else last


def _holders(tokenizer: Tokenizer) -> str:
    names = "webdataset, safetensors and vidtok" if tokenizer.codebook else "safetensors, parquet and vidtok"
    return f"{names} do"
