"""Measures a tokenizer, running its graphs step by step."""

import argparse
import json
import time

import numpy as np
from PIL import Image

import token_figures
from footage import PHOTOGRAPHS, VIDEOS, read_video
from graph_runner import GraphRunner, decode, encode
from shape import BLOCK, GROUP, LUMA
from teacher import Folder


def reconstruct(encoder: GraphRunner, decoder: GraphRunner, video: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shown frames and the tokens `[t, h, w]` of a video of 1 + 4k frames."""
    tokens = encode(encoder, video)
    return decode(decoder, tokens, 0, BLOCK), tokens


def psnr(video: np.ndarray, shown: np.ndarray) -> float:
    """PSNR in decibels, the mean over frames, of two videos in uint8."""
    errors = np.square(video.astype(np.float64) - shown).mean((1, 2, 3))
    return float(np.mean(10 * np.log10(255**2 / np.maximum(errors, 1e-9))))


def blurred(pictures: np.ndarray) -> np.ndarray:
    """Blurs `[T, H, W]` by a Gaussian window (11x11, deviation 1.5), at all places where it lies within the picture."""
    bell = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    for axis in (1, 2):
        pictures = np.lib.stride_tricks.sliding_window_view(pictures, len(bell), axis) @ (bell / bell.sum())
    return pictures


def ssim(video: np.ndarray, shown: np.ndarray) -> float:
    """SSIM of luma, the mean over frames and places, of two videos in uint8."""
    a, b = (x @ np.array(LUMA) for x in (video, shown))
    mean_a, mean_b, aa, bb, ab = (blurred(x) for x in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * (ab - mean_a * mean_b) + c2) / (aa - mean_a**2 + bb - mean_b**2 + c2)
    return float(((2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1) * structure).mean())


def grid(video: np.ndarray) -> float:
    """Change across the borders of 8x8 blocks, relative to change between other neighbouring pixels."""
    borders, inside = [], []
    for axis in (1, 2):
        change = np.abs(np.diff(video.astype(np.int16), axis=axis)).mean(axis=(0, 3 - axis, 3))
        at_border = np.arange(1, len(change) + 1) % BLOCK == 0
        borders.append(change[at_border].mean())
        inside.append(change[~at_border].mean())
    return float(np.mean(borders) / np.mean(inside))


def pulsing(video: np.ndarray) -> float:
    """Change from a group of frames to the next, relative to change within groups."""
    change = np.abs(np.diff(video.astype(np.int16), axis=0)).mean((1, 2, 3))
    at_border = np.arange(len(change)) % GROUP == 0
    return float(change[at_border].mean() / change[~at_border].mean())


def used_bits(tokens: list[np.ndarray]) -> float:
    """The entropy in bits of how often each code is used."""
    counts = np.bincount(np.concatenate(tokens))
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def movement(video: np.ndarray) -> float:
    """Mean change from frame to frame."""
    return float(np.abs(np.diff(video.astype(np.int16), axis=0)).mean())


def centre(video: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cuts the middle `height` × `width` pixels out of each frame."""
    top, left = (video.shape[1] - height) // 2, (video.shape[2] - width) // 2
    return np.ascontiguousarray(video[:, top : top + height, left : left + width])


def whole_blocks(photograph: Image.Image) -> np.ndarray:
    """A photograph as a video of one frame, cut to sides that are multiples of 8."""
    frame = np.asarray(photograph.convert("RGB"))[None]
    return centre(frame, *(side // BLOCK * BLOCK for side in frame.shape[1:3]))


def speed(runner: GraphRunner, name: str, value: np.ndarray, size: int, steps: int = 50) -> float:
    """Frames per second by the median step, with no other graph running."""
    runner.start(size, size)
    spent = []
    for _ in range(steps):
        began = time.perf_counter()
        runner.step(name, value)
        spent.append(time.perf_counter() - began)
    return GROUP / float(np.median(spent))


def side_by_side(video: np.ndarray, shown: np.ndarray, moments: int) -> np.ndarray:
    """Rows of original and reconstruction, at moments spread over the video."""
    chosen = np.linspace(0, len(video) - 1, moments + 2).round().astype(int)[1:-1]
    return np.concatenate([np.concatenate([video[index], shown[index]], 1) for index in chosen])


def run(arguments: argparse.Namespace) -> None:
    arguments.output.mkdir(parents=True, exist_ok=True)

    began = time.perf_counter()
    folder = Folder(arguments.folder)
    encoder, decoder = folder.runner("encoder", threads=2), folder.runner("decoder", threads=2)
    loading = time.perf_counter() - began
    paths = sorted(arguments.data.iterdir())
    videos, photographs, sheets, used = {}, {}, [], []
    sheet_size = arguments.sheet_size or arguments.size
    for path in (path for path in paths if path.suffix.lower() in VIDEOS):
        video = read_video(path, arguments.frames)
        video = centre(video[: 1 + (len(video) - 1) // GROUP * GROUP], arguments.size, arguments.size)
        shown, tokens = reconstruct(encoder, decoder, video)
        used.append(tokens.flatten())
        videos[path.name] = {
            "frames": len(video),
            "psnr": psnr(video, shown),
            "ssim": ssim(video, shown),
            "grid-ratio": grid(shown) / grid(video),
            "pulsing-ratio": pulsing(shown) / pulsing(video),
            "movement-ratio": movement(shown) / movement(video),
            "xz-bits": token_figures.xz_bits(tokens),
            "adaptive-bits": token_figures.adaptive_bits(tokens, folder.description.levels),
            **token_figures.changes(video, tokens),
        }
        cut = (sheet_size, sheet_size)
        sheets.append(side_by_side(centre(video, *cut), centre(shown, *cut), arguments.moments))
    if not videos:
        raise SystemExit(f"{arguments.data} holds no video ({' '.join(sorted(VIDEOS))})")
    names = [name for name in next(iter(videos.values())) if name != "frames"]
    found = {name: [video[name] for video in videos.values() if video[name] is not None] for name in names}
    figures = {name: float(np.mean(values)) if values else None for name, values in found.items()}
    figures["entropy-bits"] = used_bits(used)
    for path in (path for path in paths if path.suffix.lower() in PHOTOGRAPHS):
        frame = whole_blocks(Image.open(path))
        shown, tokens = reconstruct(encoder, decoder, frame)
        used.append(tokens.flatten())
        photographs[path.name] = {"psnr": psnr(frame, shown), "ssim": ssim(frame, shown)}
        cut = [min(sheet_size, side) for side in frame.shape[1:3]]
        pair = side_by_side(centre(frame, *cut), centre(shown, *cut), 1)
        sheets.append(np.pad(pair, ((0, 0), (0, 2 * sheet_size - pair.shape[1]), (0, 0))))
    if photographs:
        figures["photographs-psnr"] = float(np.mean([photograph["psnr"] for photograph in photographs.values()]))
        figures["entropy-bits-with-photographs"] = used_bits(used)
    if arguments.speed:
        side = arguments.size // BLOCK
        random = np.random.default_rng(0)
        frames = random.integers(0, 256, (1, GROUP, arguments.size, arguments.size, 3), np.uint8)
        some = random.choice(used[0], (1, 1, side, side))
        figures["encode-fps"] = speed(encoder, "frames", frames, arguments.size)
        figures["decode-fps"] = speed(decoder, "tokens", some, arguments.size)
        figures["load-seconds"] = loading
    report = {"mean": figures, "videos": videos, "photographs": photographs}
    (arguments.output / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    Image.fromarray(np.concatenate(sheets)).save(arguments.output / "sheet.png", optimize=True)
    print(json.dumps(report, indent=1))
