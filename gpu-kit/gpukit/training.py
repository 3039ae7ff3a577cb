"""The last part: training the built-in tokenizer for the minutes that are left, with `models/training/train.py`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import clips, packages, pieces
from .kit import Kit
from .runner import Case, Context, Failed

# What the kit may carry stands last.
MODULES = ("torch", "PIL", "numpy", "onnx", "onnx_ir")
# Of a checkpoint: small enough to be copied one by one.
PIECE_BYTES = 15_000_000
CHECKPOINT = "checkpoint.pt"
# Seconds before the budget's end at which the trainer is asked to save and end.
STOP_BEFORE = 25.0
# Seconds that a second try needs.
LEAST = 90.0
SHARED_MEMORY = "/dev/shm"
# Bytes: two batches for each of twelve workers, of some 50 MB each.
LEAST_SHARED = 1_200_000_000
WHOLE = {"batch": 32, "frames": 33, "crop": 128, "precision": "bf16"}
SMALL = {"batch": 2, "frames": 9, "crop": 64, "precision": "fp32"}


def needs(kit: Kit) -> str | None:
    """What is missing, in a line."""
    if not (kit.root / "clips").is_dir():
        return "the kit has no clips: prepare.sh takes them with --clips"
    missing = packages.missing(MODULES, carried(kit))
    return f"{packages.python()} has no {', '.join(missing)}" if missing else None


def carried(kit: Kit) -> Path | None:
    """The folder of the kit's Python packages, where this Python lacks some."""
    return packages.unpack(kit.root / "wheels", MODULES[2:], kit.work / "packages")


def cases(provider: str) -> list[Case]:
    return [Case("training", train, 60, record={"table": "other"}, once=False)]


def train(context: Context) -> Mapping[str, Any]:
    kit = context.kit
    folder = kit.results / "training"
    folder.mkdir(parents=True, exist_ok=True)
    data, cache = kit.work / "footage", kit.work / "footage-arrays"
    clips.unpack(kit.root / "clips", data, cache)
    resume(folder)
    options = SMALL if kit.small else WHOLE
    cores = len(os.sched_getaffinity(0))
    words = {"data": data, "output": folder, "cache": cache, "minutes": kit.train_minutes, **options}
    words |= {"threads": cores, "workers": 0 if kit.small else workers(cores)}
    words |= {"report-every": 10, "save-every": 30}
    command = [sys.executable, kit.project / "models/training/train.py"]
    command += [text for name, value in words.items() for text in (f"--{name}", str(value))]
    # For a GPU's matrix products to be the same each time.
    wheels = carried(kit)
    environment = kit.python_environment(*([wheels] if wheels else []), CUBLAS_WORKSPACE_CONFIG=":4096:8")
    # With a C compiler, a step can be made faster; it is no loss if that does not work.
    faster = ["--compile"] if shutil.which("cc") and not kit.small else []
    try:
        context.call([*command, *faster], environment, stop_at=STOP_BEFORE)
    except Failed:
        if not faster or context.left < LEAST:
            raise
        context.call(command, environment, stop_at=STOP_BEFORE)
    lines = (folder / "progress.jsonl").read_text().splitlines() if (folder / "progress.jsonl").is_file() else []
    if not (folder / CHECKPOINT).is_file():
        raise Failed("the trainer wrote no checkpoint")
    made = split(folder)
    last = json.loads(lines[-1]) if lines else {}
    text = f"step {last.get('step')}, {last.get('psnr')} dB, {last.get('minutes')} minutes in all; {len(made)} pieces"
    return {"result": {**last, "options": options}, "text": text}


def workers(cores: int) -> int:
    """Processes that prepare batches. They pass them on in shared memory, of which a container may have too little."""
    try:
        shared = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    has_room = os.access(SHARED_MEMORY, os.W_OK) and shared.f_bavail * shared.f_frsize >= LEAST_SHARED
    return max(1, min(12, cores - 2)) if has_room else 0


def split(folder: Path) -> list[dict[str, Any]]:
    """The checkpoint's pieces, which `pack` copies."""
    for old in folder.glob(f"{CHECKPOINT}.[0-9][0-9]"):
        old.unlink()
    made = pieces.split_file(folder / CHECKPOINT, folder, PIECE_BYTES)
    pieces.write_list(folder, {CHECKPOINT: made})
    return made


def resume(folder: Path) -> None:
    """Put a checkpoint together from pieces that were copied here."""
    if (folder / CHECKPOINT).exists() or not (folder / pieces.LIST).exists():
        return
    try:
        pieces.join_file(folder, pieces.read_list(folder)[CHECKPOINT], folder / CHECKPOINT)
    except pieces.PiecesError as error:
        raise Failed(str(error)) from None
