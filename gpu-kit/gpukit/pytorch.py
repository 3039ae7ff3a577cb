"""The third part: VidTok's own PyTorch code on the same card, by `benches/reference.py`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import packages
from .kit import Kit
from .runner import Case, Context, Failed, Lacking
from .speed import ROLES, size

# The compiled ones last: compiling takes a minute or more.
MODES = ("eager fp16", "eager", "compile fp16", "compile")
# What VidTok's networks import. Of lightning and rich they use one function each, for which the kit has stand-ins.
MODULES = ("torch", "numpy", "einops", "beartype")
STAND_INS = ("lightning", "rich")
# Without one of these, torch.compile fails.
COMPILERS = ("c++", "g++", "clang++")
WIDTH = 128
FRAMES = 17


def needs(kit: Kit) -> str | None:
    """What is missing, in a line."""
    if checkout(kit) is None:
        return "no checkout of microsoft/VidTok: name one with --vidtok"
    missing = packages.missing(MODULES, packages.unpack(kit.root / "wheels", MODULES[2:], kit.work / "packages"))
    return f"{packages.python()} has no {', '.join(missing)}" if missing else None


def checkout(kit: Kit) -> Path | None:
    places = [kit.vidtok, kit.root / "vidtok-checkout"]
    return next((path for path in places if path and (path / "vidtok" / "modules").is_dir()), None)


def cases(provider: str) -> list[Case]:
    modes = MODES if provider != "cpu" else ("eager", "compile")
    return [case(role, mode) for mode in modes for role in ROLES]


def case(role: str, mode: str) -> Case:
    kind, *half = mode.split()
    precision = "fp16" if half else "fp32"

    def run(context: Context) -> Mapping[str, Any]:
        kit = context.kit
        if kind == "compile" and not any(map(shutil.which, COMPILERS)):
            raise Lacking("torch.compile needs a C++ compiler")
        wheels = packages.unpack(kit.root / "wheels", MODULES[2:], kit.work / "packages")
        shims = [kit.root / "shims" / name for name in STAND_INS if not packages.has(name)]
        environment = kit.python_environment(*([wheels] if wheels else []), *shims)
        device = "cpu" if kit.provider == "cpu" else "cuda"
        width = 32 if kit.small else WIDTH
        command = [sys.executable, "-m", "gpukit.pytorch_case", role, mode, checkout(kit), kit.work / "pytorch"]
        result = context.json([*command, device, width, size(context), FRAMES], environment)
        if "error" in result:
            raise Failed(f"PyTorch: {result['error']}")
        per_frame = result["ms-per-frame"]
        return {
            "result": result,
            "text": f"{per_frame:.2f} ms per frame; {result['warm-s']:.0f} s to warm up",
            "ms-per-frame": per_frame,
            "row": [f"PyTorch {result['torch']}, {kind}", f"ch{width}", precision, f"1, {FRAMES} frames at once"],
        }

    seconds = 40 if kind == "eager" else 100
    return Case(f"pytorch/{mode.replace(' ', '-')}/{role}", run, seconds, 300, {"table": "speed", "role": role})
