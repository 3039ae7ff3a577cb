"""What the kit was run on."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from . import libraries
from .kit import Kit
from .nvml import first_gpu
from .packages import has


def describe(kit: Kit) -> dict[str, Any]:
    # The benchmark's own.
    sys.path.insert(0, str(kit.project / "benches"))
    import machine as benchmark

    gpu = first_gpu()
    driver: dict[str, Any] = {"gpu": gpu.name(), "driver": gpu.driver()} if gpu else {}
    try:
        driver |= {"gpu-memory-mib": gpu.memory()[1] // 2**20} if gpu else {}
    except OSError:
        pass
    return {
        "cpu": f"{benchmark.cpu()}, {benchmark.cores()} cores",
        "memory-mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        # Not in Python 3.9.
        "os": benchmark.system() if hasattr(platform, "freedesktop_os_release") else platform.platform(),
        "kernel": platform.release(),
        "c-library": " ".join(platform.libc_ver()),
        "own-loader": kit.needs_own_loader,
        "small": kit.small,
        "python": platform.python_version(),
        "torch": torch_version(),
        **driver,
        **{key: kit.manifest.get(key) for key in ("onnxruntime", "gstreamer", "plugin", "profile")},
        "libraries": {name: {k: v and str(v) for k, v in found.items()} for name, found in kit.providers.items()},
    }


def torch_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch") if has("torch") else None
    except PackageNotFoundError:
        return None


def summary(found: dict[str, Any]) -> str:
    """One line."""
    gpu = f"{found['gpu']}, driver {found['driver']}" if "gpu" in found else "no NVIDIA GPU"
    lacking = [libraries.missing(names) for names in found["libraries"].values()]
    torch = f"PyTorch {found['torch']}" if found["torch"] else "no PyTorch"
    return "; ".join([gpu, found["cpu"], found["os"], found["c-library"], torch, *filter(None, lacking)])
