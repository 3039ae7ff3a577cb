"""Makes golden.json and golden.bin: pictures resized by torchvision and Pillow themselves, and their sizes and crops.

    pip install torch==2.15.0 torchvision==0.29.2 pillow==13.0.0 numpy
    python tests/data/resize/make.py

Source pictures are not stored: `noise` makes them, as tests/resize.rs does. golden.bin has the results of all cases,
one after the other: [height, width, 3], float32 (little endian) or uint8.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

FOLDER = Path(__file__).parent

# Source width and height, `size`, `fit`: all kinds of ratios, one side unchanged, down beside up.
SIZES = [
    (40, 30, "17x13", "stretch"),
    (13, 11, "29x23", "stretch"),
    (64, 48, "16x16", "crop"),
    (48, 65, "16x24", "crop"),
    (33, 20, "33x9", "stretch"),
    (33, 20, "12x20", "stretch"),
    (7, 5, "31x4", "stretch"),
    (101, 3, "2x2", "stretch"),
    (64, 48, "20", "crop"),
    (37, 53, "20", "crop"),
    (19, 14, "14x14", "crop"),
]
INTERPOLATIONS = {
    "bilinear": (InterpolationMode.BILINEAR, "float"),
    "bicubic": (InterpolationMode.BICUBIC, "float"),
    "nearest": (InterpolationMode.NEAREST, "float"),
    "pillow-bilinear": (InterpolationMode.BILINEAR, "pillow"),
    "pillow-bicubic": (InterpolationMode.BICUBIC, "pillow"),
}
GEOMETRY = [
    (w, h) for w in (1, 2, 5, 255, 256, 257, 320, 455, 640, 719, 1366, 1920) for h in (1, 3, 256, 341, 480, 1080)
]


def noise(width: int, height: int, seed: int, extremes: bool) -> np.ndarray:
    """[height, width, 3], uint8.

    The high byte of a linear congruential generator, or black and white by its highest bit.
    """
    state, values = seed, []
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append((255 if state >> 31 else 0) if extremes else state >> 24)
    return np.array(values, np.uint8).reshape(height, width, 3)


def transform(size: str, fit: str, mode: InterpolationMode) -> v2.Transform:
    """What VidTok's code does for a crop: Resize(height), then CenterCrop((height, width))."""
    if "x" not in size:
        return v2.Resize(int(size), mode, antialias=True)
    width, height = map(int, size.split("x"))
    if fit == "stretch":
        return v2.Resize((height, width), mode, antialias=True)
    return v2.Compose([v2.Resize(height, mode, antialias=True), v2.CenterCrop((height, width))])


def cases() -> tuple[list[dict[str, Any]], bytes]:
    rows, values = [], b""
    for seed, (width, height, size, fit) in enumerate(SIZES):
        for interpolation, (mode, kind) in INTERPOLATIONS.items():
            extremes = seed % 3 == 2
            source = noise(width, height, seed, extremes)
            if kind == "pillow":
                result = np.asarray(transform(size, fit, mode)(Image.fromarray(source)))
            else:
                planes = torch.from_numpy(source).permute(2, 0, 1).float()
                result = transform(size, fit, mode)(planes).permute(1, 2, 0).numpy()
                if interpolation == "nearest":
                    assert np.array_equal(result, result.astype(np.uint8))
                    result = result.astype(np.uint8)
            rows.append(
                {
                    "source": [width, height],
                    "seed": seed,
                    "extremes": extremes,
                    "size": size,
                    "fit": fit,
                    "interpolation": interpolation,
                    "output": [result.shape[1], result.shape[0]],
                    "type": str(result.dtype),
                }
            )
            values += np.ascontiguousarray(result).astype(result.dtype.newbyteorder("<")).tobytes()
    return rows, values


def geometry() -> list[list[int]]:
    """Source width and height; width and height of the crop; of Resize(height); the crop's left and top."""
    rows = []
    for source in GEOMETRY:
        for width, height in ((256, 256), (224, 224), (160, 90), (33, 64)):
            scaled = v2.Resize(height, InterpolationMode.NEAREST)(
                torch.empty(1, source[1], source[0], dtype=torch.uint8)
            )
            high, wide = scaled.shape[1:]
            if wide < width or high < height:
                continue  # CenterCrop would make black bars.
            y, x = torch.meshgrid(torch.arange(high), torch.arange(wide), indexing="ij")
            top_left = v2.CenterCrop((height, width))(torch.stack([x, y]))[:, 0, 0]
            rows.append([*source, width, height, wide, high, *top_left.tolist()])
    return rows


def main() -> None:
    rows, values = cases()
    golden = {
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__, "pillow": PIL.__version__},
        "cases": rows,
        "geometry": geometry(),
    }
    lists = [f'"{key}": [\n' + ",\n".join(map(json.dumps, golden[key])) + "\n]" for key in ("cases", "geometry")]
    text = ",\n".join([f'"versions": {json.dumps(golden["versions"])}', *lists])
    (FOLDER / "golden.json").write_text(f"{{{text}}}\n")
    (FOLDER / "golden.bin").write_bytes(values)
    print(f"{len(rows)} cases, {len(values)} bytes, {len(golden['geometry'])} sizes")


if __name__ == "__main__":
    main()
