"""What programs and libraries need of the system."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

# The C library's own. They belong to its loader and go together with it.
C_LIBRARY = {
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libresolv.so.2",
    "libutil.so.1",
    "libanl.so.1",
}
Version = tuple[int, ...]


def version(text: str) -> Version:
    """`2.36` as numbers."""
    return tuple(int(part) for part in text.split("."))


def newest(symbols: str, prefix: str = "GLIBC") -> Version:
    """The newest version in a listing of dynamic symbols; () where it has none."""
    return max((version(found) for found in re.findall(rf"\b{prefix}_([0-9.]+[0-9])\b", symbols)), default=())


def glibc_needed(files: Iterable[Path]) -> Version:
    """The newest version of glibc that any of the files needs."""
    listings = (run("objdump", "-T", path) for path in files)
    return max((newest(listing) for listing in listings), default=())


def needed(dynamic: str) -> list[str]:
    """Libraries that `readelf -d` says a file needs."""
    return re.findall(r"\(NEEDED\)\s+Shared library: \[(.+?)\]", dynamic)


def libraries_needed(path: Path) -> list[str]:
    return needed(run("readelf", "-d", path))


def resolved(listing: str) -> dict[str, str]:
    """Names and paths of libraries, of what `ldd` prints."""
    found = re.findall(r"^\s*(\S+) => (/\S+)", listing, re.MULTILINE)
    loader = re.findall(r"^\s*(/\S*/(ld-linux\S*)) \(", listing, re.MULTILINE)
    return {name: path for name, path in found} | {name: path for path, name in loader}


def libraries(path: Path) -> dict[str, str]:
    """All libraries that the system's loader takes for a file."""
    return resolved(run("ldd", path))


def run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout
