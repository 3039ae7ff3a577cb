"""Files of shards: whole or not there, and the same bytes each time."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..files import PART, PIECE, sha256_of, sync
from .base import FileEntry, LayoutError


def entry(folder: Path, path: Path) -> FileEntry:
    """What the manifest says of a file."""
    return FileEntry(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))


def entries(folder: Path, inner: Path) -> list[FileEntry]:
    """What the manifest says of the files in a folder of the data set, by name."""
    return [entry(folder, path) for path in sorted(inner.rglob("*")) if path.is_file()]


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write to; at the end, it is on the disk under its own name, in the place of one from before."""
    # Another process may be at the same folder. Readers' patterns do not match a hidden one that was left behind.
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        for file in [*part.rglob("*"), part]:
            sync(file)
        if path.exists():
            shutil.rmtree(path)
        os.replace(part, path)
        sync(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def npy(values: NDArray[Any]) -> bytes:
    """An array as a `.npy` file, little endian."""
    file = io.BytesIO()
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    np.lib.format.write_array(file, little, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def json_line(value: Any) -> bytes:
    """A JSON value as one line."""
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Adds a file to an archive, without a time or an owner."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 0
    tar.addfile(info, io.BytesIO(data))


def join(parts: Iterable[Path], target: BinaryIO) -> None:
    """Copies files one behind the other."""
    for part in parts:
        with open(part, "rb") as file:
            shutil.copyfileobj(file, target, PIECE)


def same(before: dict[str, Any], here: dict[str, Any], where: str) -> dict[str, Any]:
    """`here`, which must say the same as what came before."""
    for key, value in here.items():
        if before and before[key] != value:
            raise LayoutError(f"{key}: {where} has {value}, samples before it have {before[key]}")
    return here
