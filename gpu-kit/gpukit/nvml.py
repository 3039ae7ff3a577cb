"""What the NVIDIA driver says of its GPUs, through its library NVML."""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache
from types import TracebackType

from .libraries import candidates, find_one

LIBRARY = "libnvidia-ml.so.1"
NAME_BYTES = 96
PERIOD = 0.02  # seconds between two looks at the memory


class _Memory(ctypes.Structure):
    """nvmlMemory_t of nvml.h."""

    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def load() -> ctypes.CDLL:
    folder = find_one(LIBRARY, candidates())
    return ctypes.CDLL(str(folder / LIBRARY) if folder else LIBRARY)


class Nvml:
    """The first GPU."""

    def __init__(self) -> None:
        """Raises `OSError` where there is no driver, or no GPU."""
        self.library = load()
        self.call("nvmlInit_v2")
        self.device = ctypes.c_void_p()
        self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(self.device))

    def call(self, name: str, *arguments: object) -> None:
        status = getattr(self.library, name)(*arguments)
        if status:
            raise OSError(f"{name}: error {status}")

    def name(self) -> str:
        text = ctypes.create_string_buffer(NAME_BYTES)
        self.call("nvmlDeviceGetName", self.device, text, ctypes.c_uint(NAME_BYTES))
        return text.value.decode()

    def driver(self) -> str:
        text = ctypes.create_string_buffer(NAME_BYTES)
        self.call("nvmlSystemGetDriverVersion", text, ctypes.c_uint(NAME_BYTES))
        return text.value.decode()

    def memory(self) -> tuple[int, int]:
        """Bytes in use, and in all."""
        memory = _Memory()
        self.call("nvmlDeviceGetMemoryInfo", self.device, ctypes.byref(memory))
        return memory.used, memory.total


@lru_cache(maxsize=1)
def first_gpu() -> Nvml | None:
    try:
        return Nvml()
    except (OSError, AttributeError):
        return None


def used(gpu: Nvml | None) -> int | None:
    """Bytes in use; `None` where the driver does not say, as it may not in a part of a card."""
    try:
        return gpu.memory()[0] if gpu else None
    except OSError:
        return None


class Peak:
    """The most memory that is in use on the GPU meanwhile, beyond what was before."""

    def __init__(self, gpu: Nvml | None) -> None:
        self.gpu, self.stop = gpu, threading.Event()
        self.before = self.most = used(gpu)
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self) -> None:
        while self.gpu and not self.stop.wait(PERIOD):
            self.most = max(filter(None, [self.most, used(self.gpu)]), default=None)

    def __enter__(self) -> Peak:
        self.thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop.set()
        self.thread.join()

    @property
    def mib(self) -> float | None:
        return None if self.before is None or self.most is None else (self.most - self.before) / 2**20
