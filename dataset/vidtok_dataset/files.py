"""Files that are whole or not there."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PART = ".part"
PIECE = 1 << 18


@contextmanager
def whole(path: Path, sync_name: bool = True) -> Iterator[Path]:
    """A name to write to; at the end, the file is on the disk under its own name. After an error there is none.

    Without `sync_name`, the name is on the disk when the next one in the folder is, which is written at once.
    """
    # Another process may be at the same file: a worker that was given up, and lives.
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        sync(part)
        os.replace(part, path)
        if sync_name:
            sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = 1) -> None:
    """Writes a JSON file, whole or not at all. It is ASCII, as names of files need not be text."""
    with whole(path) as part:
        part.write_text(json.dumps(value, indent=indent) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """A JSON file's value."""
    return json.loads(path.read_text("utf-8"))


def sha256_of(path: Path, stop: threading.Event | None = None) -> str:
    """A file's checksum. Raises `InterruptedError` after `stop`."""
    with open(path, "rb", buffering=0) as file:
        checksum = hashlib.sha256()
        piece = memoryview(bytearray(PIECE))
        while count := file.readinto(piece):
            if stop is not None and stop.is_set():
                raise InterruptedError
            checksum.update(piece[:count])
    return checksum.hexdigest()


def sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
