"""Folders as archives in pieces that can be copied one by one, each with a checksum.

A copy of this file lies beside the pieces: `python3 join.py --to FOLDER` checks them and unpacks them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

LIST = "pieces.json"
BLOCK = 1 << 20
# Most of it is compressed already, so that trying harder takes long and saves little. The dictionary is as large as the
# distance at which repetitions lie: several of the programs have the same weights in them.
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": 64 << 20}]


class PiecesError(Exception):
    """Pieces that are missing or damaged, in words for the user."""


class Writer:
    """A file that goes on in another one whenever it has reached `size` bytes."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.folder, self.name, self.size = folder, name, size
        self.pieces: list[dict[str, Any]] = []
        self.file: BinaryIO | None = None
        self.written = 0

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            if self.file is None:
                self.path = self.folder / f"{self.name}.{len(self.pieces) + 1:02}"
                self.file, self.digest, self.written = self.path.open("wb"), hashlib.sha256(), 0
            part = rest[: self.size - self.written]
            self.file.write(part)
            self.digest.update(part)
            self.written += len(part)
            rest = rest[len(part) :]
            if self.written == self.size:
                self.end_piece()
        return len(data)

    def end_piece(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None
            piece = {"file": self.path.name, "bytes": self.written, "sha256": self.digest.hexdigest()}
            self.pieces.append(piece)


class Reader:
    """Pieces one after the other, as a file that is read once."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths, self.file = list(paths), None

    def read(self, size: int = -1) -> bytes:
        parts, missing = [], size
        while missing:
            if self.file is None:
                if not self.paths:
                    break
                self.file = self.paths.pop(0).open("rb")
            part = self.file.read(missing)
            if not part:
                self.file.close()
                self.file = None
                continue
            parts.append(part)
            missing = missing - len(part) if size > 0 else missing
        return b"".join(parts)


def split_file(path: Path, folder: Path, size: int) -> list[dict[str, Any]]:
    """Copy a file to pieces of `size` bytes at most in `folder`."""
    writer = Writer(folder, path.name, size)
    with path.open("rb") as file:
        for block in blocks(file):
            writer.write(block)
    writer.end_piece()
    return writer.pieces


def split_folder(source: Path, folder: Path, name: str, size: int) -> list[dict[str, Any]]:
    """Pack a folder's contents to pieces of `size` bytes at most."""
    writer = Writer(folder, f"{name}.tar.xz", size)
    with lzma.LZMAFile(writer, "wb", filters=FILTERS) as compressed:
        with tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(source.iterdir()):
                archive.add(path, path.name, filter=plain)
    writer.end_piece()
    return writer.pieces


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner and time: the same content gives the same archive."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


def write_list(folder: Path, archives: dict[str, list[dict[str, Any]]], contents: dict[str, str] | None = None) -> None:
    """`contents`: what `fingerprint` says of each archive's folder, so that the same is not packed again."""
    (folder / LIST).write_text(json.dumps({"archives": archives, "contents": contents or {}}, indent=1) + "\n")


def fingerprint(source: Path, size: int) -> str:
    """Of all files of a folder, and of the pieces' size."""
    digest = hashlib.sha256(f"{size}\n".encode())
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(source)} {path.stat().st_mode:o} {checksum(path)}\n".encode())
    return digest.hexdigest()


def packed_before(folder: Path, name: str, contents: str) -> list[dict[str, Any]] | None:
    """The pieces of an archive that are there already and have these contents."""
    try:
        known = json.loads((folder / LIST).read_text())
        pieces = known["archives"][name] if known["contents"][name] == contents else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None if pieces is None or any(problems(folder, pieces)) else pieces


def read_list(folder: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        return json.loads((folder / LIST).read_text())["archives"]
    except FileNotFoundError:
        raise PiecesError(f"{folder} has no {LIST}, which says what the pieces are") from None
    except (ValueError, KeyError, TypeError):
        raise PiecesError(f"{folder / LIST} is damaged: copy it again") from None


def problems(folder: Path, pieces: list[dict[str, Any]]) -> Iterator[str]:
    """What is wrong with each piece that cannot be used."""
    for piece in pieces:
        path = folder / piece["file"]
        if not path.is_file():
            yield f"{piece['file']} is missing"
        elif path.stat().st_size != piece["bytes"]:
            yield f"{piece['file']} has {path.stat().st_size} bytes and not {piece['bytes']}"
        elif checksum(path) != piece["sha256"]:
            yield f"{piece['file']} is damaged"


def checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in blocks(file):
            digest.update(block)
    return digest.hexdigest()


def blocks(file: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: file.read(BLOCK), b"")


def check(folder: Path, pieces: list[dict[str, Any]]) -> None:
    found = list(problems(folder, pieces))
    if found:
        raise PiecesError(f"copy these again: {'; '.join(found)}")


def join_folder(folder: Path, to: Path) -> None:
    """Check all pieces of all archives, then unpack them to `to`."""
    archives = read_list(folder)
    check(folder, [piece for pieces in archives.values() for piece in pieces])
    to.mkdir(parents=True, exist_ok=True)
    for pieces in archives.values():
        reader = Reader([folder / piece["file"] for piece in pieces])
        with tarfile.open(fileobj=lzma.LZMAFile(Buffered(reader)), mode="r|") as archive:
            # What it refuses (paths that lead outside), the kit does not have. Pythons before 3.9.17 do not know it.
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(to, **safely)


class Buffered:
    """What `lzma` wants of a file: a `read`, and that it cannot be sought in."""

    def __init__(self, reader: Reader) -> None:
        self.read = reader.read

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def join_file(folder: Path, pieces: list[dict[str, Any]], to: Path) -> None:
    """Check a file's pieces, then put it together."""
    check(folder, pieces)
    partial = to.with_name(f"{to.name}.partial")
    with partial.open("wb") as file:
        for block in blocks(Reader([folder / piece["file"] for piece in pieces])):
            file.write(block)
    partial.replace(to)


def main() -> None:
    parser = argparse.ArgumentParser(description="Checks the kit's pieces, and unpacks them.")
    parser.add_argument("--pieces", type=Path, default=Path(__file__).resolve().parent, help="their folder (this one)")
    parser.add_argument("--to", type=Path, required=True, help="folder to unpack to")
    options = parser.parse_args()
    try:
        join_folder(options.pieces, options.to)
    except (PiecesError, OSError) as error:
        sys.exit(f"join.py: {error}")
    print(f"{options.to}: unpacked. Next: python3 {options.to}/kit.py --help")


if __name__ == "__main__":
    main()
