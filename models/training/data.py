"""Training data: a folder of videos and photographs, as batches of clips cut to crops.

Videos are decoded once into a cache of arrays. A batch depends on the seed and the step alone, so a resumed training
sees what an uninterrupted one sees.
"""

import math
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

VIDEOS = {".mp4", ".mkv", ".webm", ".mov", ".avi"}
PHOTOGRAPHS = {".png", ".jpg", ".jpeg"}

PHOTOGRAPH_SHARE = 0.2
SHRINK_SHARE = 0.3  # of the clips are cut larger and scaled down
DOUBLE_SPEED_SHARE = 0.2
OCCLUDER_SHARE = 0.3


def cached(folder: Path, cache: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The folder's videos and photographs as uint8 arrays `[T, H, W, 3]`, mapped from files in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    videos, photographs = [], []
    for path in sorted(folder.iterdir()):
        kind = path.suffix.lower()
        if kind not in VIDEOS | PHOTOGRAPHS:
            continue
        array_path = cache / f"{path.name}.npy"
        if not array_path.exists() or array_path.stat().st_mtime < path.stat().st_mtime:
            partial = cache / "partial.npy"
            np.save(partial, read_video(path) if kind in VIDEOS else np.asarray(Image.open(path).convert("RGB"))[None])
            partial.replace(array_path)
        (videos if kind in VIDEOS else photographs).append(np.load(array_path, mmap_mode="r"))
    if not videos and not photographs:
        raise SystemExit(f"{folder} holds no video ({' '.join(sorted(VIDEOS))}) and no photograph")
    return videos, photographs


def read_video(path: Path, frames: int | None = None) -> np.ndarray:
    decoded = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            decoded.append(frame.to_ndarray(format="rgb24"))
            if len(decoded) == frames:
                break
    if not decoded:
        raise SystemExit(f"{path} holds no video frame")
    return np.stack(decoded)


def to_pixels(frames: np.ndarray) -> Tensor:
    """uint8 `[T, H, W, 3]` to float `[T, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Clips(Dataset[Tensor]):
    """Item n is training step n's batch, `[batch, frames, 3, crop, crop]` in [-1, 1]."""

    def __init__(self, folder: Path, cache: Path, seed: int, batch: int, frames: int, crop: int) -> None:
        videos, self.photographs = cached(folder, cache)
        self.videos = [video for video in videos if len(video) >= frames and min(video.shape[1:3]) >= crop]
        self.photographs = [photograph for photograph in self.photographs if min(photograph.shape[1:3]) >= crop]
        self.seed, self.batch, self.frames, self.crop = seed, batch, frames, crop
        if not self.videos and not self.photographs:
            raise SystemExit(f"{folder}: nothing there is {crop} pixels a side, or no video {frames} frames long")

    def __getitem__(self, step: int) -> Tensor:
        random = np.random.default_rng([self.seed, step])
        return torch.stack([self.clip(random) for _ in range(self.batch)])

    def clip(self, random: np.random.Generator) -> Tensor:
        from_photograph = not self.videos or (self.photographs and random.random() < PHOTOGRAPH_SHARE)
        clip = self.moving_photograph(random) if from_photograph else self.cut(random)
        return clip.flip(3) if random.random() < 0.5 else clip

    def cut(self, random: np.random.Generator) -> Tensor:
        """A piece of a video."""
        video = self.videos[random.integers(len(self.videos))]
        length, height, width = video.shape[:3]
        stride = 2 if random.random() < DOUBLE_SPEED_SHARE and length > 2 * self.frames else 1
        size = self.crop
        if random.random() < SHRINK_SHARE:
            size = int(random.integers(self.crop, min(height, width, 2 * self.crop) + 1))
        start = random.integers(length - stride * (self.frames - 1))
        top, left = random.integers(height - size + 1), random.integers(width - size + 1)
        end = start + stride * self.frames
        clip = to_pixels(video[start:end:stride, top : top + size, left : left + size])
        if size == self.crop:
            return clip
        return functional.interpolate(clip, (self.crop, self.crop), mode="bilinear", antialias=True)

    def moving_photograph(self, random: np.random.Generator) -> Tensor:
        """A photograph panned, zoomed and turned, at times with a piece of another drifting across."""
        clip = self.move(random)
        if random.random() < OCCLUDER_SHARE:
            other = self.move(random)
            time = torch.linspace(-1, 1, self.frames)[:, None, None]
            side = torch.linspace(-1, 1, self.crop)
            angle = random.uniform(0, 2 * math.pi)
            across = math.cos(angle) * side[None, :, None] + math.sin(angle) * side[None, None, :]
            edge = (random.uniform(-0.5, 0.5) + random.uniform(-0.5, 0.5) * time - across) * self.crop / 2
            clip = torch.lerp(clip, other, torch.sigmoid(4 * edge)[:, None])
        return clip

    def move(self, random: np.random.Generator) -> Tensor:
        photograph = self.photographs[random.integers(len(self.photographs))]
        height, width = photograph.shape[1:3]
        time = np.linspace(-0.5, 0.5, self.frames)
        # Photograph pixels per crop pixel, changing by up to a tenth over the clip.
        largest = min(2.0, min(height, width) / self.crop)
        zoom = random.uniform(1, largest) * np.exp(random.normal(0, 0.05) * time)
        angle = random.normal(0, 0.05) * time
        reach = np.array([width, height]) / 2 - zoom.max() * self.crop / 2
        centre = random.uniform(-1, 1, 2) * np.maximum(reach, 0)
        # Up to a few pixels a frame, and often none.
        speed = random.normal(0, 1.5, 2) * (random.random() < 0.75)
        path = (centre + speed * self.frames * time[:, None]) / (np.array([width, height]) / 2)
        x_scale, y_scale = zoom * self.crop / width, zoom * self.crop / height
        cos, sin = np.cos(angle), np.sin(angle)
        rows = [[cos * x_scale, -sin * x_scale, path[:, 0]], [sin * y_scale, cos * y_scale, path[:, 1]]]
        transform = torch.tensor(np.array(rows), dtype=torch.float32).permute(2, 0, 1)
        size = [self.frames, 3, self.crop, self.crop]
        grid = functional.affine_grid(transform, size, align_corners=False)
        picture = to_pixels(photograph).expand(self.frames, -1, -1, -1)
        return functional.grid_sample(picture, grid, padding_mode="reflection", align_corners=False)
