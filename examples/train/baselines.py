"""How well tokens are predicted without a network: what a model has to beat. Needs NumPy only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clips import Digits, Examples, none_of, tokens_of

Probabilities = NDArray[np.float64]


@dataclass(frozen=True)
class Baseline:
    name: str
    bits: float
    """Per token: the mean of -log2 of the probability that it gave to the token that came."""


class Copied(NamedTuple):
    """Shares that are those of the latent frame before."""

    tokens: float
    digits: float


def transitions(examples: Examples, levels: Sequence[int]) -> Probabilities:
    """`[n, V + 1, V]`: how often each digit follows each digit of the cell one latent frame before, as a probability.

    V is the largest of the levels. The last row is for a cell without a frame before: how often each digit comes.
    """
    none = none_of(levels)
    tables = np.zeros((len(levels), none + 1, none))
    for digit, values in enumerate(levels):
        before, now = examples.past[:, 0, ..., digit].ravel(), examples.present[..., digit].ravel()
        # One more of each, so that nothing is impossible.
        counts = np.bincount(before * none + now, minlength=none * none).reshape(none, none) + 1.0
        counts[:, values:] = 0
        tables[digit, :none] = counts / counts.sum(1, keepdims=True)
        tables[digit, none] = counts.sum(0) / counts.sum()
    return tables


def baselines(train: Examples, held_out: Examples, levels: Sequence[int]) -> list[Baseline]:
    """Each is a mixture of simple predictions, counted in `train`.

    The shares of a mixture are those that suit `held_out` best. For the last one, they suit each latent frame best, as
    it moves or stands still. That is more than a model is told, in their favour.
    """
    table = transitions(train, levels)
    before, now = held_out.past[:, 0], held_out.present
    codebook = int(np.prod(levels))
    token_counts = np.bincount(tokens_of(train.present, levels).ravel(), minlength=codebook)
    tokens, tokens_before = tokens_of(now, levels), tokens_of(before, levels)

    single = _product(table, np.full_like(now, none_of(levels)), now)
    frequency = token_counts[tokens] / token_counts.sum()
    copied = (tokens == tokens_before).astype(np.float64)
    moved = _product(table, before, now)
    parts = [single, frequency, copied, moved]
    return [
        Baseline("all tokens alike", float(np.log2(codebook))),
        Baseline("how often each digit comes", _bits(parts[:1])),
        Baseline("how often each token comes, or its digits", _bits(parts[:2])),
        Baseline("that, or the token before again", _bits(parts[:3])),
        Baseline("that, or how often each digit follows the one before", _bits(parts)),
        Baseline("that, with shares for each latent frame", _bits(parts, each_frame=True)),
    ]


def copy_accuracy(examples: Examples) -> Copied:
    """How often the cell of the latent frame before has the same token."""
    same = examples.past[:, 0] == examples.present
    return Copied(float(same.all(-1).mean()), float(same.mean()))


def _product(table: Probabilities, before: Digits, now: Digits) -> Probabilities:
    """`[N, h, w]`: the probability of each token, digit by digit."""
    return np.prod([table[digit][before[..., digit], now[..., digit]] for digit in range(len(table))], 0)


def _bits(parts: list[Probabilities], each_frame: bool = False) -> float:
    """Of the best mixture of predictions, `[N, h, w]` each: found by expectation maximization."""
    stacked = np.stack(parts)
    shares = np.full((len(parts), 1, 1, 1), 1 / len(parts))
    for _ in range(100):
        weighted = shares * stacked
        shares = (weighted / weighted.sum(0)).mean((2, 3) if each_frame else (1, 2, 3), keepdims=True)
    return float(-np.log2((shares * stacked).sum(0)).mean())
