"""Finding CUDA's and TensorRT's libraries: inside the Python that runs this, or where systems keep them."""

from __future__ import annotations

import ctypes
import glob
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Inside a folder of Python packages. CUDA 12 has a folder for each library there, CUDA 13 one for most.
IN_PACKAGES = ("nvidia/*/lib", "nvidia/lib", "tensorrt_libs")
SYSTEM = (
    "/usr/local/cuda/lib64",
    "/usr/local/cuda/targets/x86_64-linux/lib",
    "/usr/local/nvidia/lib64",
    "/usr/local/nvidia/lib",
    "/usr/local/tensorrt/lib",
    "/opt/tensorrt/lib",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/usr/lib/wsl/lib",
)
DRIVER = "libcuda.so.1"


def package_folders(paths: Sequence[str]) -> list[Path]:
    """Folders with NVIDIA's libraries below folders of Python packages."""
    patterns = [f"{path}/{pattern}" for path in paths for pattern in IN_PACKAGES]
    found = [Path(match) for pattern in patterns for match in sorted(glob.glob(pattern))]
    return [folder for folder in found if folder.is_dir()]


def candidates(more: Iterable[Path] = ()) -> list[Path]:
    """Where to look, what the user names first."""
    named = [folder for path in more for folder in (path, path / "lib", path / "tensorrt_libs") if folder.is_dir()]
    system = [*told_to_the_loader(), *(Path(path) for path in SYSTEM)]
    return named + package_folders(sys.path) + [path for path in system if path.is_dir()]


def told_to_the_loader() -> list[Path]:
    return [Path(path) for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]


def locate(name: str, folders: Sequence[Path]) -> Path | None:
    """The first folder that has a library."""
    return next((folder for folder in folders if (folder / name).exists()), None)


def known_to_the_loader(name: str) -> Path | None:
    """The folder where the system's loader finds a library without being told."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    return mapped(name, Path("/proc/self/maps").read_text())


def mapped(name: str, maps: str) -> Path | None:
    """Where a library of this process lies, by the lines of its memory map."""
    stem = name.split(".so")[0]
    paths = (Path(line.split(maxsplit=5)[-1]) for line in maps.splitlines() if "/" in line)
    # The name may be a link to a file with a longer one.
    return next((path.parent for path in paths if path.name.startswith(f"{stem}.so")), None)


def find(names: Iterable[str], more: Iterable[Path] = ()) -> dict[str, Path | None]:
    """Each library's folder, or `None`."""
    folders = candidates(more)
    return {name: find_one(name, folders) for name in names}


def find_one(name: str, folders: Sequence[Path]) -> Path | None:
    if name == DRIVER:
        # The loader's is the driver's own; elsewhere there may be others, for building programs.
        return known_to_the_loader(name) or locate(name, folders)
    return locate(name, folders) or known_to_the_loader(name)


def missing(found: dict[str, Path | None]) -> str | None:
    """One line on what was not found, or `None`."""
    absent = [name for name, folder in found.items() if folder is None]
    return f"not found: {', '.join(absent)}" if absent else None


def search_path(found: Iterable[Path | None], packages: Sequence[Path]) -> list[Path]:
    """The folders for the loader, each once. `packages`: those of Python packages, which belong together.

    The system's own come last: beside what is wanted from there, they have versions of everything else.
    """
    folders = [folder for folder in found if folder]
    together = packages if any(folder in packages for folder in folders) else []
    ordered = sorted([*folders, *together], key=lambda folder: str(folder).startswith(("/usr/lib", "/lib")))
    return list(dict.fromkeys(ordered))
