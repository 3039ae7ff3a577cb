"""Pictures as arrays: brought to another size, compared, and tokens in colours. Pure NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""`[height, width, 3]`, RGB."""

# For equal pictures, whose PSNR is infinite.
MOST_DB = 120.0
# KL latents of about this size and beyond have the strongest colours.
LATENT_RANGE = 6.0
# The tag `image-orientation`: whether the picture is mirrored first, and quarter turns clockwise after that.
ORIENTATIONS = {
    "rotate-0": (False, 0),
    "rotate-90": (False, 1),
    "rotate-180": (False, 2),
    "rotate-270": (False, 3),
    "flip-rotate-0": (True, 0),
    "flip-rotate-90": (True, 1),
    "flip-rotate-180": (True, 2),
    "flip-rotate-270": (True, 3),
}


def turned(picture: Picture, orientation: str) -> Picture:
    """As a player shows it. An unknown orientation is none."""
    is_mirrored, turns = ORIENTATIONS.get(orientation, (False, 0))
    picture = picture[:, ::-1] if is_mirrored else picture
    return np.ascontiguousarray(np.rot90(picture, -turns))


def fitted(picture: Picture, size: tuple[int, int], fit: str, is_exact: bool) -> Picture:
    """The picture in `size` (width, height), scaled with antialiasing, and cut or with bars as vidtokenc's `fit` says.

    `is_exact`: width and height were asked for; otherwise `fit` says nothing.
    """
    height, width = picture.shape[:2]
    if (width, height) == size:
        return picture
    if not is_exact or fit == "stretch":
        return scaled(picture, size)
    wide, high = size
    if fit == "pad":
        inner = (wide, max(1, wide * height // width))
        if width * high < wide * height:
            inner = (max(1, high * width // height), high)
        left, top = (wide - inner[0]) // 2, (high - inner[1]) // 2
        canvas = np.zeros((high, wide, 3), np.uint8)
        canvas[top : top + inner[1], left : left + inner[0]] = scaled(picture, inner)
        return canvas
    # The shorter side becomes the height, as in VidTok; where that does not cover the output, just so much as does.
    outer = (high, high * height // width) if width <= height else (high * width // height, high)
    if outer[0] < wide or outer[1] < high:
        outer = (high * width // height, high) if width * high >= wide * height else (wide, wide * height // width)
    left, top = round((outer[0] - wide) / 2), round((outer[1] - high) / 2)
    return np.ascontiguousarray(scaled(picture, outer)[top : top + high, left : left + wide])


def scaled(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture in another width and height: a triangle filter, widened where it shrinks."""
    rows, columns = _weights(picture.shape[0], size[1]), _weights(picture.shape[1], size[0])
    across = np.einsum("ow,hwc->hoc", columns, picture.astype(np.float32), optimize=True)
    down = np.einsum("oh,hwc->owc", rows, across, optimize=True)
    return np.clip(np.rint(down), 0, 255).astype(np.uint8)


def smaller(picture: Picture, side: int) -> Picture:
    """The picture with its longer side of `side` pixels at most."""
    height, width = picture.shape[:2]
    most = max(height, width)
    if most <= side:
        return picture
    return scaled(picture, (max(1, width * side // most), max(1, height * side // most)))


def _weights(source: int, target: int) -> NDArray[np.float32]:
    """`[target, source]`: what each pixel of the source counts for in one of the target."""
    scale = source / target
    reach = max(1.0, scale)
    centres = (np.arange(target)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(source)[None, :] + 0.5 - centres) / reach
    weights = np.maximum(0.0, 1.0 - distances)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def squared_error(one: Picture, other: Picture) -> float:
    """The mean over all numbers of two pictures."""
    return float(np.square(one.astype(np.int32) - other).mean())


def psnr(error: float) -> float:
    """Of a mean squared error of bytes, in dB; at most 120."""
    return min(MOST_DB, 10 * float(np.log10(255**2 / max(error, 1e-9))))


def token_colours(tokens: NDArray[np.generic], levels: Sequence[int] | None) -> Picture:
    """A latent frame, `[h, w]` FSQ indices or `[h, w, channels]` KL floats, with a colour for each token.

    Red, green and blue are the means of every third digit of an index, from the lowest on, or of every third channel.
    """
    if levels is None:
        parts = tokens.astype(np.float64) / LATENT_RANGE + 0.5
    else:
        rest, digits = tokens.astype(np.int64), []
        for level in levels:
            digits.append(rest % level / max(1, level - 1))
            rest = rest // level
        parts = np.stack(digits, axis=-1)
    parts = np.clip(parts, 0.0, 1.0)
    empty = np.zeros(parts.shape[:-1])
    means = [parts[..., first::3].mean(axis=-1) if first < parts.shape[-1] else empty for first in range(3)]
    return np.floor(np.stack(means, axis=-1) * 255 + 0.5).astype(np.uint8)
