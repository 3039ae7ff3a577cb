"""Finding CUDA's and TensorRT's libraries: inside the Python that runs this, or where systems keep them."""

from __future__ import annotations

import ctypes
import glob
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

# Inside a folder of Python packages. The wheels of CUDA 12 have a folder for each library, those of CUDA 13 one for most.
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
TENSORRT = "libnvinfer.so.10"
DRIVER = "libcuda.so.1"


def package_folders(paths: Sequence[str]) -> list[Path]:
    """Folders with NVIDIA's libraries below folders of Python packages."""
    found = [Path(match) for path in paths for pattern in IN_PACKAGES for match in sorted(glob.glob(f"{path}/{pattern}"))]
    return [folder for folder in found if folder.is_dir()]


def candidates(more: Iterable[Path] = ()) -> list[Path]:
    """Where to look, what the user names first."""
    named = [folder for path in more for folder in (path, path / "lib", path / "tensorrt_libs") if folder.is_dir()]
    return named + package_folders(sys.path) + [Path(path) for path in SYSTEM if Path(path).is_dir()]


def locate(names: Iterable[str], folders: Sequence[Path]) -> dict[str, Path | None]:
    """The first folder that has each of the libraries."""
    return {name: next((folder for folder in folders if (folder / name).exists()), None) for name in names}


def known_to_the_loader(name: str) -> Path | None:
    """The folder where the system's loader finds a library by itself."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    maps = Path("/proc/self/maps").read_text()
    paths = [line.split(maxsplit=5)[-1] for line in maps.splitlines() if "/" in line]
    stem = name.split(".so")[0]
    # The name may be a link to a file with a longer one.
    match = next((Path(path) for path in paths if Path(path).name.startswith(f"{stem}.so")), None)
    return match.parent if match else None


def find(names: Iterable[str], more: Iterable[Path] = ()) -> dict[str, Path | None]:
    """Each library's folder, or `None`."""
    found = locate(names, candidates(more))
    return {name: folder or known_to_the_loader(name) for name, folder in found.items()}


def missing(found: dict[str, Path | None]) -> str | None:
    """One line on what was not found, or `None`."""
    absent = [name for name, folder in found.items() if folder is None]
    return f"not found: {', '.join(absent)}" if absent else None


def search_path(found: dict[str, Path | None]) -> list[Path]:
    """The folders, each once, and all that belong to the same set of Python packages: libraries load further ones."""
    folders = list(dict.fromkeys(folder for folder in found.values() if folder))
    beside = [folder for folder in package_folders(sys.path) if any(used in folders for used in package_folders(sys.path))]
    ours = [folder for folder in folders if str(folder) not in SYSTEM[-3:]]
    system = [folder for folder in folders if str(folder) in SYSTEM[-3:]]
    return list(dict.fromkeys([*ours, *beside, *system]))
