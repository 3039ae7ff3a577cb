"""Describes the machine and the software of a measurement."""

import ctypes
import os
import platform
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}


def describe() -> dict[str, object]:
    return {
        "cpu": cpu(),
        "cores": cores(),
        "processors": len(os.sched_getaffinity(0)),
        "memory-mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "os": system(),
        "kernel": platform.release(),
        # Load of the minute before the set-up.
        "load": float(os.environ["BENCHMARK_LOAD"]),
    }


def cpu() -> str:
    """The processor's name and widest vectors: in a virtual machine, the name may be that of the maker only."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = said.get("flags", "").split()
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    return ", ".join([said.get("model name", platform.machine()), *vectors])


class _ApiBase(ctypes.Structure):
    """OrtApiBase of onnxruntime_c_api.h."""

    _fields_ = [("get_api", ctypes.c_void_p), ("get_version_string", ctypes.CFUNCTYPE(ctypes.c_char_p))]


def onnxruntime(place: Path) -> str:
    """The version of ONNX Runtime, whose library or folder ORT_DYLIB_PATH names."""
    # The library may send telemetry as soon as it is loaded: see models/vidtok_export/onnx_runtime.py.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    library = ctypes.CDLL(str(next(place.glob("libonnxruntime.so*")) if place.is_dir() else place))
    library.OrtGetApiBase.restype = ctypes.POINTER(_ApiBase)
    return library.OrtGetApiBase().contents.get_version_string().decode()


def system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def cores() -> int:
    """Threads of the property threads=0: one per core, not per hardware thread."""
    allowed = len(os.sched_getaffinity(0))
    siblings = {path.read_text() for path in CPUS.glob("cpu[0-9]*/topology/thread_siblings")}
    return min(len(siblings), allowed) if siblings else allowed
