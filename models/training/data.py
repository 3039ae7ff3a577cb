"""Training data: batches of clips, cut from a folder of videos and photographs, and from drawings made here.

Videos are decoded once into a cache of arrays. A batch depends on the seed and the step only, so a resumed training
gets the same batches as an uninterrupted one.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from footage import PHOTOGRAPHS, VIDEOS, read_video

PHOTOGRAPH_SHARE = 0.15
DRAWING_SHARE = 0.1
SHRINK_SHARE = 0.4  # share of the clips that are cut larger and scaled down
LARGEST_SHRINK = 3
DOUBLE_SPEED_SHARE = 0.2
OCCLUDER_SHARE = 0.3
RECOLOUR_SHARE = 0.3


@dataclass(frozen=True)
class Choice:
    """Which files of a folder to use, and how often; patterns as in a shell."""

    leave_out: Sequence[str] = ()
    weights: Mapping[str, float] = field(default_factory=dict)  # by pattern; a file that none fits has weight 1

    def weight(self, name: str) -> float:
        if any(fnmatchcase(name, pattern) for pattern in self.leave_out):
            return 0.0
        return math.prod(weight for pattern, weight in self.weights.items() if fnmatchcase(name, pattern))


@dataclass(frozen=True)
class Footage:
    frames: np.ndarray  # uint8 `[T, H, W, 3]`
    weight: float

    def has_sides(self, size: int) -> bool:
        return min(self.frames.shape[1:3]) >= size


class Pool:
    """Footage to draw from, by weight."""

    def __init__(self, footage: Sequence[Footage]) -> None:
        self.frames = [one.frames for one in footage]
        self.ends = np.cumsum([one.weight for one in footage])

    def __len__(self) -> int:
        return len(self.frames)

    def draw(self, random: np.random.Generator) -> np.ndarray:
        # The upper bound is excluded, but rounding may reach it.
        place = int(np.searchsorted(self.ends, random.random() * self.ends[-1], side="right"))
        return self.frames[min(place, len(self.frames) - 1)]


def cached(folders: Iterable[Path], cache: Path, choice: Choice) -> tuple[list[Footage], list[Footage]]:
    """The folders' videos and photographs, mapped from files in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    videos, photographs = [], []
    for path in sorted((path for folder in folders for path in folder.iterdir()), key=lambda path: path.name):
        kind, weight = path.suffix.lower(), choice.weight(path.name)
        if kind not in VIDEOS | PHOTOGRAPHS or not weight:
            continue
        array_path = cache / f"{path.name}.npy"
        if not array_path.exists() or array_path.stat().st_mtime < path.stat().st_mtime:
            partial = cache / "partial.npy"
            np.save(partial, read_video(path) if kind in VIDEOS else np.asarray(Image.open(path).convert("RGB"))[None])
            partial.replace(array_path)
        (videos if kind in VIDEOS else photographs).append(Footage(np.load(array_path, mmap_mode="r"), weight))
    if not videos and not photographs:
        raise SystemExit(f"{' '.join(map(str, folders))} holds no video ({' '.join(sorted(VIDEOS))}) and no photograph")
    return videos, photographs


def to_pixels(frames: np.ndarray) -> Tensor:
    """uint8 `[T, H, W, 3]` to float `[T, 3, H, W]` in [-1, 1]."""
    return torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Clips(Dataset[Tensor]):
    """Item n is the batch of training step n, `[batch, frames, 3, crop, crop]` in [-1, 1].

    With `batches`, the training repeats that many batches.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        cache: Path,
        seed: int,
        batch: int,
        frames: int,
        crop: int,
        choice: Choice | None = None,
        batches: int | None = None,
    ) -> None:
        videos, photographs = cached(folders, cache, choice or Choice())
        self.videos = Pool([video for video in videos if len(video.frames) >= frames and video.has_sides(crop)])
        self.photographs = Pool([photograph for photograph in photographs if photograph.has_sides(crop)])
        self.seed, self.batch, self.frames, self.crop, self.batches = seed, batch, frames, crop, batches
        if not self.videos and not self.photographs:
            names = " ".join(map(str, folders))
            raise SystemExit(f"{names}: no file has {crop} pixels per side, or no video has {frames} frames")

    def __getitem__(self, step: int) -> Tensor:
        random = np.random.default_rng([self.seed, step % self.batches if self.batches else step])
        return torch.stack([self.clip(random) for _ in range(self.batch)])

    def clip(self, random: np.random.Generator) -> Tensor:
        kind = random.random()
        if kind < DRAWING_SHARE:
            clip = self.moving_picture(random, self.drawing)
        elif self.photographs and (kind < DRAWING_SHARE + PHOTOGRAPH_SHARE or not self.videos):
            clip = self.moving_picture(random, self.photograph)
        else:
            clip = self.cut(random)
        if random.random() < RECOLOUR_SHARE:
            clip = recolour(clip, random)
        return clip.flip(3) if random.random() < 0.5 else clip

    def cut(self, random: np.random.Generator) -> Tensor:
        """A clip cut from a video."""
        video = self.videos.draw(random)
        length, height, width = video.shape[:3]
        stride = 2 if random.random() < DOUBLE_SPEED_SHARE and length > 2 * self.frames else 1
        size = self.crop
        if random.random() < SHRINK_SHARE:
            size = int(random.integers(self.crop, min(height, width, LARGEST_SHRINK * self.crop) + 1))
        start = random.integers(length - stride * (self.frames - 1))
        top, left = random.integers(height - size + 1), random.integers(width - size + 1)
        end = start + stride * self.frames
        frames = video[start:end:stride, top : top + size, left : left + size]
        clip = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)
        if size != self.crop:
            clip = functional.interpolate(clip, (self.crop, self.crop), mode="bilinear", antialias=True)
        return clip.float() / 127.5 - 1

    def photograph(self, random: np.random.Generator) -> np.ndarray:
        return self.photographs.draw(random)

    def drawing(self, random: np.random.Generator) -> np.ndarray:
        return draw(random, 2 * self.crop)

    def moving_picture(
        self, random: np.random.Generator, picture: Callable[[np.random.Generator], np.ndarray]
    ) -> Tensor:
        """A clip of a picture that pans, zooms and turns, sometimes with part of another picture moving across it."""
        clip = self.move(random, picture(random))
        if random.random() < OCCLUDER_SHARE:
            other = self.move(random, picture(random))
            time = torch.linspace(-1, 1, self.frames)[:, None, None]
            side = torch.linspace(-1, 1, self.crop)
            angle = random.uniform(0, 2 * math.pi)
            across = math.cos(angle) * side[None, :, None] + math.sin(angle) * side[None, None, :]
            edge = (random.uniform(-0.5, 0.5) + random.uniform(-0.5, 0.5) * time - across) * self.crop / 2
            clip = torch.lerp(clip, other, torch.sigmoid(4 * edge)[:, None])
        return clip

    def move(self, random: np.random.Generator, picture: np.ndarray) -> Tensor:
        height, width = picture.shape[1:3]
        time = np.linspace(-0.5, 0.5, self.frames)
        # Pixels of the picture per crop pixel, changing by up to a tenth over the clip.
        largest = min(2.0, min(height, width) / self.crop)
        zoom = random.uniform(1, largest) * np.exp(random.normal(0, 0.05) * time)
        angle = random.normal(0, 0.05) * time
        reach = np.array([width, height]) / 2 - zoom.max() * self.crop / 2
        centre = random.uniform(-1, 1, 2) * np.maximum(reach, 0)
        # Up to a few pixels per frame, and often none.
        speed = random.normal(0, 1.5, 2) * (random.random() < 0.75)
        path = (centre + speed * self.frames * time[:, None]) / (np.array([width, height]) / 2)
        x_scale, y_scale = zoom * self.crop / width, zoom * self.crop / height
        cos, sin = np.cos(angle), np.sin(angle)
        rows = [[cos * x_scale, -sin * x_scale, path[:, 0]], [sin * y_scale, cos * y_scale, path[:, 1]]]
        transform = torch.tensor(np.array(rows), dtype=torch.float32).permute(2, 0, 1)
        size = [self.frames, 3, self.crop, self.crop]
        grid = functional.affine_grid(transform, size, align_corners=False)
        pixels = to_pixels(picture).expand(self.frames, -1, -1, -1)
        return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def draw(random: np.random.Generator, size: int) -> np.ndarray:
    """Flat shapes with outlines and lettering on a gradient, uint8 `[1, size, size, 3]`, as in no footage."""
    scale = 2  # drawn larger and scaled down, for smooth edges
    whole = scale * size
    ends = random.uniform(0, 255, (2, 3))
    ramp = np.linspace(0, 1, whole)[:, None, None]
    background = np.broadcast_to(ends[0] * (1 - ramp) + ends[1] * ramp, (whole, whole, 3))
    picture = Image.fromarray(background.astype(np.uint8))
    pen = ImageDraw.Draw(picture)

    def colour() -> tuple[int, ...]:
        return tuple(int(value) for value in random.integers(0, 256, 3))

    for _ in range(random.integers(3, 15)):
        x, y = random.uniform(0, whole, 2)
        reach = random.uniform(0.03, 0.3, 2) * whole
        outline, line = (colour() if random.random() < 0.5 else None), int(random.integers(1, 5)) * scale
        kind = random.integers(4)
        if kind == 0:
            pen.ellipse([x - reach[0], y - reach[1], x + reach[0], y + reach[1]], colour(), outline, line)
        elif kind == 1:
            corners = random.uniform(-1, 1, (int(random.integers(3, 7)), 2)) * reach + (x, y)
            pen.polygon([tuple(corner) for corner in corners], colour(), outline, line)
        elif kind == 2:
            corners = random.uniform(-1, 1, (4, 2)) * reach + (x, y)
            pen.line([tuple(corner) for corner in corners], colour(), line, joint="curve")
        else:
            letters = "".join(chr(code) for code in random.integers(33, 127, 12))
            pen.text((x - reach[0], y), letters, colour(), font_size=float(random.uniform(10, 40) * scale))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX))[None]


def recolour(clip: Tensor, random: np.random.Generator) -> Tensor:
    """Changes exposure, contrast and colour."""
    light = (clip + 1) / 2
    grey = light.mean(1, keepdim=True)
    light = (grey + (light - grey) * random.uniform(0.3, 2.0)).clamp(0, 1) ** random.uniform(0.6, 1.8)
    gain = torch.tensor(random.uniform(0.75, 1.25, (3, 1, 1)), dtype=torch.float32) * random.uniform(0.6, 1.1)
    return (light * gain).clamp(0, 1) * 2 - 1
