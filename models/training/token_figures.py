"""Figures of tokens alone: what they cost a coder, and how often they change where the picture does not."""

import lzma
import math

import numpy as np

from shape import BLOCK, GROUP

# Cells whose pixels differ by less than this on average, in grey levels of 255, count as equal.
EQUAL = 2.0


def xz_bits(tokens: np.ndarray) -> float:
    """Bits per token of `[t, h, w]` under LZMA, each cell's tokens one after another over time, two bytes each."""
    over_time = np.ascontiguousarray(np.moveaxis(tokens, 0, -1)).astype("<u2")
    # Without a container's header. Places in the data are told apart by their remainder by two.
    coder = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 1, "pb": 1}]
    return 8 * len(lzma.compress(over_time.tobytes(), lzma.FORMAT_RAW, filters=coder)) / tokens.size


def adaptive_bits(tokens: np.ndarray, levels: tuple[int, ...]) -> float:
    """Bits per token of `[t, h, w]` under an adaptive coder that knows nothing at first.

    It codes each channel's level by how often each level came so far after the level that the same cell had in the
    latent frame before (Krichevsky and Trofimov's estimate); the first latent frame has a count of its own.
    """
    digits = split(tokens, levels)
    bits = 0.0
    for channel, count in enumerate(levels):
        level = digits[..., channel]
        before = np.concatenate([np.full_like(level[:1], count), level[:-1]])
        counts = np.bincount((before * count + level).ravel(), minlength=(count + 1) * count).reshape(-1, count)
        bits += sum(code_length(row) for row in counts)
    return bits / tokens.size


def code_length(counts: np.ndarray) -> float:
    """Bits of a sequence with these counts under Krichevsky and Trofimov's estimate; their order does not matter."""
    whole = math.lgamma(counts.sum() + len(counts) / 2) - math.lgamma(len(counts) / 2)
    return (whole - sum(math.lgamma(count + 0.5) - math.lgamma(0.5) for count in counts.tolist())) / math.log(2)


def split(tokens: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Splits indices `[…]` into each channel's level, `[…, C]`; channel 0 is the least significant digit."""
    return tokens[..., None] // np.cumprod([1, *levels[:-1]]) % levels


def changes(video: np.ndarray, tokens: np.ndarray) -> dict[str, float | None]:
    """How often tokens `[t, h, w]` differ where a video of 1 + 4k frames does not.

    - still-share: the share of cells that are still, that is, equal to the same cell in the group of frames before,
      frame by frame; still-changed: the share of these whose token differs from the one before.
    - even-share, even-changed: the same of cells and their neighbour on the right.

    Without the first latent frame, which stands for one frame. None where there is no such cell.
    """
    cells = video[1:].reshape(-1, GROUP, tokens.shape[1], BLOCK, tokens.shape[2], BLOCK, 3).astype(np.int16)

    def figures(name: str, far: np.ndarray, differs: np.ndarray) -> dict[str, float | None]:
        equal = far.mean((1, 3, 5, 6)) < EQUAL
        changed = float(differs[equal].mean()) if equal.any() else None
        return {f"{name}-share": float(equal.mean()) if equal.size else None, f"{name}-changed": changed}

    late = tokens[1:]
    return figures("still", np.abs(cells[1:] - cells[:-1]), late[1:] != late[:-1]) | figures(
        "even", np.abs(cells[:, :, :, :, 1:] - cells[:, :, :, :, :-1]), late[:, :, 1:] != late[:, :, :-1]
    )
