"""Reads the tensors of a checkpoint. The file may be hostile, so no code from it runs.

A `.ckpt` is a zip archive that `torch.save` wrote: a pickle that describes tensors, which `unpickle` reads, and one
file of raw numbers per storage.
"""

import json
import math
import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import safetensors

from . import unpickle
from .unpickle import Storage, Tensor

PREFIXES = ("encoder.", "decoder.")
MAX_PICKLE = 64 << 20  # bytes; published checkpoints have less than 1 MB of descriptions
MAX_HEADER = 100_000_000  # the safetensors library's own limit

# Each number type by its name in safetensors, and NumPy's name for its bytes.
FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class CheckpointError(ValueError):
    """The file is not a checkpoint, is damaged, or asks for something that is refused."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Returns the encoder's and the decoder's tensors by name, as float32.

    Raises CheckpointError, with the path, for any file that is not a whole checkpoint.
    """
    try:
        with _open(path) as file:
            tensors = _read_safetensors(file) if path.suffix == ".safetensors" else _read_torch(file)
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise CheckpointError(f"{name} holds numbers that are not finite")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path}: it cannot be read: {error.strerror or error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path}: it does not fit into memory") from error
    except Exception as error:  # libraries raise nearly anything for a damaged file
        raise CheckpointError(f"{path}: it is damaged: {type(error).__name__}: {error}") from error
    return tensors


def _open(path: Path) -> BinaryIO:
    """Opens a regular file only: opening a FIFO could block for ever."""
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise CheckpointError("it is not a regular file")
    return file


def _is_network_tensor(name: object) -> bool:
    return isinstance(name, str) and name.startswith(PREFIXES)


def _numbers(raw: bytes, kind: str, name: str) -> np.ndarray:
    """Raw bytes as a flat array; its type is the file's, and bfloat16 stays raw."""
    if kind not in FLOATS:
        raise CheckpointError(f"{name} is of type {kind}; weights are one of {', '.join(FLOATS)}")
    return np.frombuffer(raw, FLOATS[kind])


def _float32(numbers: np.ndarray, kind: str) -> np.ndarray:
    if kind == "BF16":  # the upper half of a float32
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # `read` refuses infinities
        return numbers.astype(np.float32, copy=False)


# safetensors


def _read_safetensors(file: BinaryIO) -> dict[str, np.ndarray]:
    size = os.fstat(file.fileno()).st_size
    described = _described_bytes(file, size)
    if described != size:
        raise CheckpointError(f"not a safetensors file: its header describes {described} bytes, and it has {size}")
    file.seek(0)
    try:
        entries = safetensors.deserialize(file.read(size))
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"not a safetensors file: {error}") from error
    return {
        name: _float32(_numbers(entry["data"], entry["dtype"], name), entry["dtype"]).reshape(entry["shape"])
        for name, entry in entries
        if _is_network_tensor(name)
    }


def _described_bytes(file: BinaryIO, size: int) -> int:
    """The file's length by its header, so that nothing large is read from a file that contradicts it."""
    length = int.from_bytes(file.read(8), "little")
    if length > min(MAX_HEADER, size - 8):
        raise CheckpointError(f"not a safetensors file: a header of {length} bytes, in a file of {size}")
    try:
        header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise CheckpointError(f"not a safetensors file: its header cannot be read: {error}") from error


# torch.save


def _read_torch(file: BinaryIO) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            return _Archive(archive, os.fstat(file.fileno()).st_size).tensors()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"not a zip archive as torch.save writes it since PyTorch 1.6, or damaged: {error}"
        ) from error


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive = archive
        self.size = size
        pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"a checkpoint has one data.pkl, this archive has {len(pickles)}")
        self.folder = pickles[0].removesuffix("data.pkl")
        if f"{self.folder}byteorder" in archive.namelist() and self._member("byteorder", 16) != b"little":
            raise CheckpointError("its numbers are not little endian")

    def tensors(self) -> dict[str, np.ndarray]:
        found = {name: value for name, value in self._state_dict().items() if _is_network_tensor(name)}
        for name, value in found.items():
            _check_tensor(name, value)
        storages = {tensor.storage.key: tensor.storage for tensor in found.values()}
        # Views and archive entries may overlap; a small file could then ask for more than memory holds.
        if sum(math.prod(t.shape) for t in found.values()) > sum(s.count for s in storages.values()):
            raise CheckpointError("its tensors overlap")
        if sum(self._info(f"data/{key}").file_size for key in storages) > self.size:
            raise CheckpointError("its storages overlap")
        raw = {key: self._member(f"data/{key}", self.size) for key in storages}
        return {name: _tensor(name, value, raw[value.storage.key]) for name, value in sorted(found.items())}

    def _state_dict(self) -> dict:
        try:
            root, unknown = unpickle.read(self._member("data.pkl", MAX_PICKLE))
        except unpickle.PickleError as error:
            raise CheckpointError(str(error)) from error
        if isinstance(root, dict) and "state_dict" in root:
            root = root["state_dict"]
        if not isinstance(root, dict):
            raise CheckpointError("it holds neither a state_dict nor a dict with one")
        if not any(_is_network_tensor(name) for name in root):
            asks = f"; its pickle also asks for {', '.join(unknown[:3])}, which is refused" if unknown else ""
            raise CheckpointError(f"it holds no tensor whose name begins with {' or '.join(PREFIXES)}{asks}")
        return root

    def _info(self, name: str) -> zipfile.ZipInfo:
        try:
            info = self.archive.getinfo(self.folder + name)
        except KeyError:
            raise CheckpointError(f"the archive lacks {name}; was the download cut?") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"{name} is compressed, which torch.save never does")
        return info

    def _member(self, name: str, limit: int) -> bytes:
        info = self._info(name)
        if info.file_size > limit:
            raise CheckpointError(f"{name} has {info.file_size} bytes; at most {limit} are expected")
        try:
            return self.archive.read(info)
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
            raise CheckpointError(f"{name} cannot be read: {error}") from error


def _check_tensor(name: str, tensor: object) -> None:
    """Checks that the value describes a tensor that lies inside its storage."""
    if isinstance(tensor, unpickle.StandIn):
        raise CheckpointError(f"{name} is not a tensor: its pickle asks for {tensor.name}, which is refused")
    if not isinstance(tensor, Tensor) or not isinstance(tensor.storage, Storage):
        raise CheckpointError(f"{name} is not a tensor")
    storage, offset, shape, strides = tensor
    if not isinstance(storage.kind, unpickle.StorageType) or not isinstance(storage.key, str):
        raise CheckpointError(f"{name} has no proper storage")
    sizes_are_tuples = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= 8
    if not sizes_are_tuples or not _counts([storage.count, offset, *shape, *strides]):
        raise CheckpointError(f"{name} has no proper shape, strides and offset")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape or last >= storage.count:
        raise CheckpointError(f"{name} is empty or reaches beyond its storage")


def _counts(values: Iterable[object]) -> bool:
    return all(type(value) is int and 0 <= value < 1 << 40 for value in values)


def _tensor(name: str, tensor: Tensor, raw: bytes) -> np.ndarray:
    numbers = _numbers(raw, tensor.storage.kind, name)
    if len(numbers) != tensor.storage.count:
        raise CheckpointError(f"{name}: its storage has {len(numbers)} numbers, not {tensor.storage.count}")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False)
    return _float32(view, tensor.storage.kind)
