"""Reads videos, without PyTorch."""

from pathlib import Path

import numpy as np

VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi"}
PHOTOGRAPHS = {".png", ".jpg", ".jpeg"}


def read_video(path: Path, frames: int | None = None) -> np.ndarray:
    """All frames, or the first `frames`, as uint8 `[T, H, W, 3]`."""
    # Only videos need it: a training on footage that is decoded already runs without.
    import av

    decoded = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            decoded.append(frame.to_ndarray(format="rgb24"))
            if len(decoded) == frames:
                break
    if not decoded:
        raise SystemExit(f"{path} holds no video frame")
    return np.stack(decoded)
