"""Training footage: small pictures of each clip's frames in the kit, arrays for the trainer on the target."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi"}
PHOTOGRAPHS = {".png", ".jpg", ".jpeg"}
# Pixels of the shorter side. The trainer scales down by up to that much, and blocks of JPEG shrink with it.
SIDE = 192
PHOTOGRAPH_SIDE = 384
QUALITY = 92
# What the trainer takes of a clip at least.
LEAST_FRAMES = 33


def small(source: Path, folder: Path, side: int, most: int | None) -> bool:
    """Write a video's first frames (about `most`), or a photograph, as JPEG with `side` pixels on the shorter side.

    False where GStreamer gives no picture of it. It gives none of certain grey JPEGs, and calls that no error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = dimensions(source)
    if size and write_pictures(source, folder, scaled(*size, side), most):
        return True
    shutil.rmtree(folder)
    print(f"{source}: left out, as GStreamer gives no picture of it", file=sys.stderr)
    return False


def write_pictures(source: Path, folder: Path, size: tuple[int, int], most: int | None) -> bool:
    width, height = size
    caps = f"video/x-raw,format=RGB,width={width},height={height}"
    line = f"! decodebin ! videoconvert ! videoscale method=lanczos ! {caps} ! "
    line += f"identity eos-after={most + 1} ! " if most else ""
    line += f"jpegenc quality={QUALITY} ! multifilesink"
    # Names with spaces stay one word.
    command = ["gst-launch-1.0", "-q", "filesrc", f"location={source}", *line.split(), f"location={folder}/%05d.jpg"]
    return subprocess.run(command).returncode == 0 and any(folder.iterdir())


def dimensions(source: Path) -> tuple[int, int] | None:
    """Width and height, by what GStreamer says of the caps behind its decoder."""
    line = "! decodebin ! videoconvert ! identity eos-after=2 ! fakesink name=sink"
    command = ["gst-launch-1.0", "-v", "filesrc", f"location={source}", *line.split()]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return sizes(said)


def sizes(said: str) -> tuple[int, int] | None:
    """Of the last line with caps of a raw video in front of the sink; `None` where there is none."""
    for line in reversed(said.splitlines()):
        if "fakesink" in line.lower() and "width=(int)" in line:
            numbers = [int(line.split(f"{side}=(int)")[1].split(",")[0]) for side in ("width", "height")]
            return numbers[0], numbers[1]
    return None


def scaled(width: int, height: int, side: int) -> tuple[int, int]:
    """At most `side` on the shorter side, even numbers."""
    factor = min(1.0, side / min(width, height))
    return tuple(max(2, 2 * round(length * factor / 2)) for length in (width, height))  # type: ignore[return-value]


def fit(counts: Sequence[int], sizes: Sequence[int], budget: int, least: int = LEAST_FRAMES) -> list[int]:
    """How many frames of each clip to keep so that all are within a budget of bytes: each the same share.

    `counts`, `sizes`: frames and bytes of each clip. Clips that would have too few frames are left out from the end.
    """
    kept = [count if count >= least else 0 for count in counts]
    while sum(part(*clip) for clip in triples(counts, sizes, kept)) > budget and any(kept):
        most = max(kept)
        if most > least:
            limit = max(least, most * 9 // 10)
            kept = [min(count, limit) for count in kept]
        else:
            last = max(index for index, count in enumerate(kept) if count)
            kept[last] = 0
    return kept


def triples(counts: Sequence[int], sizes: Sequence[int], kept: Sequence[int]) -> list[tuple[int, int, int]]:
    return [(counts[index], sizes[index], kept[index]) for index in range(len(counts))]


def part(count: int, size: int, kept: int) -> float:
    return size * kept / count if count else 0.0


def collect(sources: Sequence[Path], folder: Path, megabytes: float, frames: int = 96) -> tuple[int, int]:
    """Small copies of all clips and photographs, `megabytes` at most; how many of each there are."""
    videos, photographs = [], []
    for source in sources:
        for path in sorted(source.iterdir()):
            kind, name = path.suffix.lower(), f"{source.name}-{path.stem}"
            if kind in VIDEOS:
                target = folder / "videos" / name
                videos += [target] if small(path, target, SIDE, frames) else []
            elif kind in PHOTOGRAPHS:
                target = folder / "photographs" / name
                photographs += [target] if small(path, target, PHOTOGRAPH_SIDE, None) else []
    used = sum(path.stat().st_size for target in photographs for path in target.iterdir())
    files = [sorted(target.iterdir()) for target in videos]
    counts = [len(of_clip) for of_clip in files]
    bytes_of = [sum(path.stat().st_size for path in of_clip) for of_clip in files]
    kept = fit(counts, bytes_of, int(megabytes * 1e6) - used)
    for index, target in enumerate(videos):
        for path in files[index][kept[index] :]:
            path.unlink()
        if not kept[index]:
            target.rmdir()
    return sum(map(bool, kept)), len(photographs)


def unpack(folder: Path, data: Path, cache: Path) -> None:
    """Lay the footage out as the trainer wants it: files in `data`, of which videos are decoded already in `cache`."""
    data.mkdir(parents=True, exist_ok=True)
    cache.mkdir(parents=True, exist_ok=True)
    for target in sorted((folder / "photographs").glob("*")):
        picture = data / f"{target.name}.jpg"
        if not picture.exists():
            shutil.copy(min(target.iterdir()), picture)
    videos = sorted((folder / "videos").glob("*"))
    wanted = [(target, cache / f"{target.name}.mp4.npy") for target in videos]
    wanted = [(target, array) for target, array in wanted if not array.exists()]
    for target in videos:
        # Older than the array: the trainer then takes that, and reads no video.
        (data / f"{target.name}.mp4").touch()
        os.utime(data / f"{target.name}.mp4", (0, 0))
    # Threads, as Pillow decodes without the interpreter's lock, and processes need semaphores in /dev/shm.
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(to_array, *zip(*wanted)) if wanted else []:  # noqa: B905 (Python 3.9)
            pass


def to_array(folder: Path, path: Path) -> None:
    import numpy as np
    from PIL import Image

    frames = [np.asarray(Image.open(picture).convert("RGB")) for picture in sorted(folder.iterdir())]
    partial = path.with_suffix(".partial.npy")
    np.save(partial, np.stack(frames))
    partial.replace(path)
