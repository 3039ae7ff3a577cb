"""Python packages: what this Python has, and what the kit carries for it."""

from __future__ import annotations

import importlib.util
import platform
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path


def has(module: str) -> bool:
    """Whether this Python has a module. A folder that only has its name does not count."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None


def fits(wheel: str, python: tuple[int, int], processor: str) -> bool:
    """Whether a wheel of this file name is for this CPython on this Linux."""
    *_, interpreter, abi, system = wheel.removesuffix(".whl").split("-")
    this, stable = f"cp{python[0]}{python[1]}", f"cp{python[0]}"
    of_processor = system == "any" or any(part.endswith(processor) for part in system.split("."))
    older = interpreter.startswith(stable) and interpreter[len(stable) :].isdecimal()
    is_stable = abi == "abi3" and older and int(interpreter[len(stable) :]) <= python[1]
    is_pure = abi == "none" and "py3" in interpreter.split(".")
    return of_processor and ((interpreter == this and abi == this) or is_stable or is_pure)


def unpack(wheels: Path, modules: Sequence[str], to: Path) -> Path | None:
    """Unpack those wheels that fit this Python, where it lacks one of the modules. Gives their folder."""
    if all(has(module) for module in modules) or not wheels.is_dir():
        return None
    if not to.is_dir():
        partial = to.with_name(f"{to.name}.partial")
        for wheel in sorted(wheels.glob("*.whl")):
            if fits(wheel.name, sys.version_info[:2], platform.machine()):
                with zipfile.ZipFile(wheel) as files:
                    files.extractall(partial)
        partial.mkdir(parents=True, exist_ok=True)
        partial.rename(to)
    return to


def missing(modules: Sequence[str], folder: Path | None = None) -> list[str]:
    """The modules that neither this Python nor the folder has."""
    there = {path.name.split(".")[0] for path in folder.iterdir()} if folder else set()
    return [module for module in modules if module not in there and not has(module)]


def python() -> str:
    return f"{sys.executable} (Python {platform.python_version()})"
