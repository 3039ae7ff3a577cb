"""The unpacked kit: where things are, and how its programs are started on this machine."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from . import libraries
from .elf import Version, version

LOADER = "ld-linux-x86-64.so.2"
LIBRARIES = "LD_LIBRARY_PATH"


@dataclass
class Kit:
    """`root`: the unpacked kit. `results`: all that is written."""

    root: Path
    results: Path
    provider: str = "cuda"
    small: bool = False
    """Sizes for a rehearsal: it is to show that everything runs."""
    more_libraries: list[Path] = field(default_factory=list)
    """Where the user says that libraries are."""
    vidtok: Path | None = None
    """A checkout of microsoft/VidTok."""
    train_minutes: float = 600.0
    """Of the whole training, which goes on from call to call."""
    variables: dict[str, str] = field(default_factory=dict)
    """Further ones for the programs' environment."""

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.root / "manifest.json").read_text())

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def runtime(self) -> Path:
        """ONNX Runtime's libraries."""
        return self.root / "ort"

    @property
    def tokenizers(self) -> Path:
        return self.results / "work" / "tokenizers"

    @property
    def work(self) -> Path:
        return self.results / "work"

    @property
    def logs(self) -> Path:
        return self.results / "logs"

    def command(self, name: str) -> list[str]:
        """How one of the kit's programs is started."""
        program = str(self.root / "bin" / name)
        if not self.needs_own_loader:
            return [program]
        return [str(self.root / "loader" / LOADER), "--library-path", self.search_path, "--argv0", program, program]

    @cached_property
    def needs_own_loader(self) -> bool:
        """Whether this machine's C library is older than what the kit's files were built for."""
        return needs_own_loader(platform.libc_ver(), version(self.manifest["glibc"]))

    @cached_property
    def providers(self) -> dict[str, dict[str, Path | None]]:
        """Where the libraries are that ONNX Runtime's providers need, by provider."""
        wanted = self.manifest["libraries"]
        return {name: libraries.find(names, self.more_libraries) for name, names in wanted.items()}

    def lacking(self, provider: str) -> str | None:
        """Why a provider cannot work here, in a line; `None`: nothing is known to be missing."""
        for name in {"tensorrt": ("cuda", "tensorrt")}.get(provider, (provider,)):
            text = libraries.missing(self.providers.get(name, {}))
            if text:
                return f"{name}: {text}"
        return None

    @cached_property
    def search_path(self) -> str:
        """For the loader."""
        found = [place for names in self.providers.values() for place in names.values()]
        own = [self.root / "lib", self.runtime]
        if self.needs_own_loader:
            own.insert(0, self.root / "loader")
        theirs = libraries.search_path(found, libraries.package_folders(sys.path))
        return ":".join(map(str, dict.fromkeys([*own, *theirs, *libraries.told_to_the_loader()])))

    def environment(self, **more: str) -> dict[str, str]:
        """For the kit's programs."""
        self.work.mkdir(parents=True, exist_ok=True)
        plugins = [self.root / "plugin", self.root / "lib" / "gstreamer-1.0"]
        ours = {
            "ORT_DYLIB_PATH": self.runtime,
            # When it is loaded, ONNX Runtime would look up a host.
            "ORT_DISABLE_TELEMETRY": 1,
            "GST_PLUGIN_SYSTEM_PATH_1_0": ":".join(map(str, plugins)),
            "GST_REGISTRY": self.work / "registry.bin",
            # Its helper program would need the kit's loader, too.
            "GST_REGISTRY_FORK": "no",
            "GST_DEBUG": os.environ.get("GST_DEBUG", "2,onnxruntime:3"),
            "GST_DEBUG_NO_COLOR": 1,
            # TensorRT's engines.
            "XDG_CACHE_HOME": self.work / "cache",
            "CUDA_CACHE_PATH": self.work / "cache" / "cuda",
            # PyTorch would ask for the user's name, which an unprivileged user of a container may not have.
            "TORCHINDUCTOR_CACHE_DIR": self.work / "cache" / "inductor",
            "TRITON_CACHE_DIR": self.work / "cache" / "triton",
            "HOME": self.work,
        }
        kept = {name: value for name, value in os.environ.items() if name != LIBRARIES}
        if not self.needs_own_loader:
            ours[LIBRARIES] = self.search_path
        return kept | {name: str(value) for name, value in ours.items()} | self.variables | more

    def python_environment(self, *more: Path, **variables: str) -> dict[str, str]:
        """For this Python, which has libraries of its own; `more`: folders of modules beside the project's."""
        folders = ["models", "models/training", "tests/python", "tests/data", "benches"]
        path = ":".join(map(str, [self.root, *(self.project / folder for folder in folders), *more]))
        ours = {name: value for name, value in self.environment().items() if name != LIBRARIES}
        theirs = {LIBRARIES: os.environ[LIBRARIES]} if LIBRARIES in os.environ else {}
        return ours | theirs | {"PYTHONPATH": path} | variables


def needs_own_loader(libc: tuple[str, str], needed: Version) -> bool:
    name, found = libc
    # Another C library (musl) cannot run them without either.
    return name != "glibc" or version(found) < needed
