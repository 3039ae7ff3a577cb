"""What training minimizes, and the figures it reports."""

import math

import torch
from torch import Tensor
from torch.nn import functional

SQUARED = 6.0
DISSIMILARITY = 0.1
CHANGE = 0.4  # of the error in the change from frame to frame
PULSE = 0.4  # of the same where groups meet, besides
GRID = 0.1  # of the error in the change from pixel to pixel where blocks meet
CORRELATION = 0.2  # of the squared correlation between channels of z, which makes codes redundant
OUTSIDE = 0.01  # of |z| beyond BOUND, where rounding's gradient vanishes
BOUND = 1.5
COLLAPSE = 0.1  # of a channel's deviation below LEAST_DEVIATION, where few levels are used
LEAST_DEVIATION = 0.7

GROUP, BLOCK = 4, 8

LUMA = (0.299, 0.587, 0.114)


def loss(reconstruction: Tensor, clips: Tensor, z: Tensor) -> Tensor:
    """Of clips `[N, 1 + 4k, 3, H, W]` in [-1, 1], and of z `[n, 5, H/8, W/8]`."""
    error = reconstruction - clips
    change = (error[:, 1:] - error[:, :-1]).abs()
    rows = (error[..., BLOCK::BLOCK, :] - error[..., BLOCK - 1 : -1 : BLOCK, :]).abs()
    columns = (error[..., BLOCK::BLOCK] - error[..., BLOCK - 1 : -1 : BLOCK]).abs()
    return (
        error.abs().mean()
        + SQUARED * error.square().mean()
        + DISSIMILARITY * (1 - similarity(reconstruction, clips))
        + CHANGE * change.mean()
        + PULSE * change[:, ::GROUP].mean()
        + GRID * (rows.mean() + columns.mean())
        + code_penalty(z)
    )


def code_penalty(z: Tensor) -> Tensor:
    """Small where all levels of all channels are used, each channel for something of its own."""
    channels = z.transpose(0, 1).flatten(1)
    deviation = channels.std(1)
    correlation = torch.corrcoef(channels).square().triu(1).sum() / math.comb(len(channels), 2)
    outside = functional.relu(z.abs() - BOUND).mean()
    collapse = functional.relu(LEAST_DEVIATION - deviation).mean()
    return OUTSIDE * outside + COLLAPSE * collapse + CORRELATION * correlation


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of luma over windows of 8x8; values in [-1, 1], frames `[..., 3, H, W]`."""
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
    """In decibels, of values in [-1, 1]."""
    return float(10 * torch.log10(torch.tensor(4.0 / max(mean_squared_error, 1e-12))))


def entropy(counts: Tensor) -> float:
    """In bits, of how often each code was used."""
    share = counts[counts > 0].double()
    share = share / share.sum()
    return float(-(share * share.log2()).sum())
