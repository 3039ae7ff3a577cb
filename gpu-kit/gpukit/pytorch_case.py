"""One mode of VidTok's PyTorch code, warmed up and timed. Prints JSON. `pytorch.py` runs it, as a program."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np

import golden
import recipe
from peer import Peer, without_tuning

from .tokenizers import PUBLISHED, SEED

TURNS = 5
TIME_FACTOR = 4
SPACE_FACTOR = 8


def main() -> None:
    role, mode, checkout, folder, device, *numbers = sys.argv[1:]
    width, size, frames = map(int, numbers)
    print(json.dumps(measure(role, mode, Path(checkout), Path(folder), device, width, size, frames)))


def measure(
    role: str, mode: str, checkout: Path, folder: Path, device: str, width: int, size: int, frames: int
) -> dict[str, object]:
    folder.mkdir(parents=True, exist_ok=True)
    document = golden.document(PUBLISHED["ch128"][0], width)
    config = folder / "config.json"
    config.write_text(json.dumps(document))
    words = {
        "checkout": checkout,
        "config": config,
        "input": clip(folder, size, frames) if role == "encoder" else tokens(folder, document, size, frames),
        "role": role,
        "device": device,
        "size": size,
        "frames": frames,
        "seed": SEED,
        "threads": cores(),
        "output": folder / "result.npy",
    }
    options = [text for name, value in words.items() for text in (f"--{name}", str(value))]
    reference = Path(golden.ROOT) / "benches" / "reference.py"
    log = folder / f"{role}-{mode.replace(' ', '-')}.log"
    with Peer([sys.executable, reference, *options], [mode], without_tuning(cores()), log, words["output"]) as peer:
        for _ in range(TURNS):
            peer.turn()
        figures = peer.figures()
    found = figures["modes"][mode]
    if "error" in found:
        return {"error": found["error"]}
    # Of a step, which is four frames.
    return {"torch": figures["torch"], "ms-per-frame": found["mean-ms"] / TIME_FACTOR, **found}


def clip(folder: Path, size: int, frames: int) -> Path:
    path = folder / "clip.rgb"
    recipe.frames(frames, size, size, SEED).tofile(path)
    return path


def tokens(folder: Path, document: dict, size: int, frames: int) -> Path:
    """Any: time does not depend on which."""
    levels = document["model"]["params"]["regularizer_config"]["params"]["levels"]
    shape = (1 + (frames - 1) // TIME_FACTOR, size // SPACE_FACTOR, size // SPACE_FACTOR)
    path = folder / "tokens.npy"
    np.save(path, np.random.default_rng(SEED).integers(0, math.prod(levels), shape))
    return path


def cores() -> int:
    import machine

    return machine.cores()


if __name__ == "__main__":
    main()
