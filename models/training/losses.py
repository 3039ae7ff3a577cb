"""The losses that training minimizes, and the figures that it reports."""

import torch
from torch import Tensor
from torch.nn import functional

from shape import BLOCK, GROUP, LUMA

SQUARED = 2.0
DECIBELS = 0.05  # weight of the logarithm of a clip's squared error: quiet clips count as in a mean of PSNR
DECIBELS_FLOOR = 1e-3  # a clip with a smaller squared error (36 dB) counts no more
DISSIMILARITY = 0.1
CHANGE = 0.4  # weight of the error in the change from frame to frame
JUMP = 0.4  # additional weight of the same where groups meet
PULSE = 0.4  # weight of change where groups meet, beyond change within groups
REGION = 8  # pixels per side of the regions in which the two are compared
GRID = 0.1  # weight of the error in the change from pixel to pixel where blocks meet
EVENNESS = 0.1  # weight of the distance between a clip's codes and evenly used codes
DIRECTIONS = 16
OUTSIDE = 0.01  # weight of |z| beyond BOUND, where rounding's gradient vanishes
BOUND = 2.0


def loss(reconstruction: Tensor, clips: Tensor, z: Tensor) -> Tensor:
    """The loss of clips `[N, 1 + 4k, 3, H, W]` in [-1, 1] and of z `[n, 5, H/8, W/8]`."""
    return picture(reconstruction, clips) + OUTSIDE * functional.relu(z.abs() - BOUND).mean()


def picture(reconstruction: Tensor, clips: Tensor) -> Tensor:
    """The part of the loss that depends on the frames only."""
    error = reconstruction - clips
    squared = (error * error).mean((1, 2, 3, 4))
    change = (error[:, 1:] - error[:, :-1]).abs()
    some = error[:, ::GROUP]  # one frame per group says as much about blocks as all frames do
    rows = (some[..., BLOCK::BLOCK, :] - some[..., BLOCK - 1 : -1 : BLOCK, :]).abs()
    columns = (some[..., BLOCK::BLOCK] - some[..., BLOCK - 1 : -1 : BLOCK]).abs()
    return (
        error.abs().mean()
        + SQUARED * squared.mean()
        + DECIBELS * (squared + DECIBELS_FLOOR).log().mean()
        + DISSIMILARITY * (1 - similarity(reconstruction[:, ::2], clips[:, ::2]))
        + CHANGE * change.mean()
        + JUMP * change[:, ::GROUP].mean()
        + PULSE * pulse(reconstruction, clips)
        + GRID * (rows.mean() + columns.mean())
    )


def pulse(reconstruction: Tensor, clips: Tensor) -> Tensor:
    """How much more regions change from group to group than within groups, beyond the original's difference."""
    borders, within = changes(reconstruction)
    original_borders, original_within = changes(clips)
    return functional.relu(borders - within - functional.relu(original_borders - original_within)).mean()


def changes(clips: Tensor) -> tuple[Tensor, Tensor]:
    """The regions' change into each group, and their mean change within it: `[N, k, 3, h, w]` each."""
    change = (clips[:, 1:] - clips[:, :-1]).abs()
    regions = functional.avg_pool2d(change.flatten(0, 1), REGION).unflatten(0, change.shape[:2])
    steps = regions.unflatten(1, (-1, GROUP))
    return steps[:, :, 0], steps[:, :, 1:].mean(2)


def unevenness(bounded: Tensor, levels: tuple[int, ...], random: torch.Generator) -> Tensor:
    """How far the codes of each clip, `[N, n, 5]`, not rounded yet (`Quantizer.bound`), are from an even distribution.

    This is the sliced Wasserstein distance: along random directions, the sorted codes against as many sorted draws from
    the even distribution.
    """
    clips, count, codes = bounded.shape
    directions = torch.randn(codes, DIRECTIONS, generator=random)
    # Also the direction of each channel, so that its levels are used evenly.
    directions = torch.cat([torch.eye(codes), directions / directions.norm(dim=0)], 1)
    sizes = torch.tensor(levels)
    lowest = -(sizes // 2)
    # Codes end in the middle of the outermost levels.
    even = torch.rand(count, codes, generator=random) * sizes + lowest - 0.5
    even = even.clamp(lowest, lowest + sizes - 1) @ directions
    along = bounded @ directions.to(bounded)
    even_draws = even.sort(0).values.to(bounded).expand(clips, -1, -1)
    return (along - torch.empty_like(along).scatter_(1, along.detach().argsort(1), even_draws)).square().mean()


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of luma over windows of 8x8, of frames `[..., 3, H, W]` in [-1, 1]."""
    weights = torch.tensor(LUMA, device=first.device)[:, None, None]
    a, b = ((x * weights).sum(-3).flatten(0, -3)[:, None] for x in (first, second))
    means = functional.avg_pool2d(torch.cat([a, b, a * a, b * b, a * b], 1), 8, 2)
    mean_a, mean_b, aa, bb, ab = means.unbind(1)
    variance_a, variance_b = aa - mean_a * mean_a, bb - mean_b * mean_b
    covariance = ab - mean_a * mean_b
    c1, c2 = 0.02**2, 0.06**2  # (0.01 L)^2 and (0.03 L)^2 for a range of L = 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean()


def psnr(mean_squared_error: float) -> float:
    """PSNR in decibels, for values in [-1, 1]."""
    return float(10 * torch.log10(torch.tensor(4.0 / max(mean_squared_error, 1e-12))))


def entropy(counts: Tensor) -> float:
    """The entropy in bits of how often each code was used."""
    share = counts[counts > 0].double()
    share = share / share.sum()
    return float(-(share * share.log2()).sum())
