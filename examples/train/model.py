"""A small next-token model: each digit of each token, from all digits before it.

The order is that of the data set: latent frame by latent frame, row by row, cell by cell, and in a cell digit by digit.
Convolutions look at the latent frames before, of which all cells are known. A causal transformer looks at the cells
before in the same latent frame. A last layer looks at the digits before in the same cell.

Most of a video stays as it was. So the model is told by how much each digit has changed, and predicts changes as well
as digits: how much of a clip moves is then learnt once, and not for each digit anew.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

# Cells before in raster order that touch a cell: where they are, in rows and columns.
NEIGHBOURS = ((0, -1), (-1, 0), (-1, 1), (-1, -1))
DROPOUT = 0.1


@dataclass(frozen=True)
class Shape:
    """What a checkpoint says of its model."""

    levels: tuple[int, ...]
    """Values of each digit of a token."""
    grid: tuple[int, int]
    """Rows and columns of a latent frame."""
    frames: int = 4
    """Latent frames that it looks back."""
    width: int = 96
    """Numbers per cell."""
    convolutions: int = 4
    layers: int = 2
    heads: int = 4


class Convolution(nn.Module):
    """Mixes neighbouring cells, then the numbers of each cell. `[B, h, w, width]` to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.space = nn.Conv2d(width, width, 5, padding=2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.cell = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(DROPOUT)
        )

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.space(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.cell(self.norm(mixed))


class Model(nn.Module):
    """Probabilities of digits. Digits are `[..., n]`; `none` (the largest of the levels) stands for no digit."""

    def __init__(self, shape: Shape, transitions: NDArray[np.float64] | None = None) -> None:
        """`transitions`: `[n, V + 1, V]` probabilities of a digit, given the one before; the model begins with them."""
        super().__init__()
        self.shape = shape
        width, digits, self.none = shape.width, len(shape.levels), max(shape.levels)
        rows, columns = shape.grid
        self.past = self._embedding(shape.frames * digits, width)
        self.past_changes = self._embedding(shape.frames * digits, width, 2 * self.none)
        self.convolutions = nn.Sequential(*(Convolution(width) for _ in range(shape.convolutions)))
        self.neighbours = self._embedding(len(NEIGHBOURS) * digits, width)
        self.neighbour_changes = self._embedding(len(NEIGHBOURS) * digits, width, 2 * self.none)
        self.position = nn.Parameter(torch.randn(rows, columns, width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            width, shape.heads, 3 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, shape.layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.cell = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(width, digits * width // 2))
        self.digits = self._embedding(digits * digits, width // 2)
        self.digit_changes = self._embedding(digits * digits, width // 2, 2 * self.none)
        self.output = nn.Parameter(torch.zeros(digits, width // 2, self.none))
        self.change_output = nn.Parameter(torch.zeros(digits, width // 2, 2 * self.none - 1))
        start = torch.zeros(digits, self.none + 1, self.none)
        if transitions is not None:
            # A digit that does not exist has the probability 0.
            start = torch.from_numpy(transitions).float().clamp(min=1e-9).log()
        self.transitions = nn.Parameter(start)
        exists = torch.arange(self.none) < torch.tensor(shape.levels)[:, None]
        self.register_buffer("impossible", ~exists, persistent=False)

    def _embedding(self, places: int, width: int, values: int = 0) -> nn.EmbeddingBag:
        """The sum of a vector for each value at each of so many places."""
        embedding = nn.EmbeddingBag(places * (values or self.none + 1), width, mode="sum")
        nn.init.normal_(embedding.weight, std=places**-0.5)
        return embedding

    def _changes(self, now: Tensor, before: Tensor) -> Tensor:
        """By how much digits have changed, from 0 up; the last number is for digits that are not there."""
        there = (now != self.none) & (before != self.none)
        return torch.where(there, now - before + self.none - 1, 2 * self.none - 1)

    def look_back(self, past: Tensor) -> Tensor:
        """`[B, K, h, w, n]` digits of the latent frames before, the latest first, to `[B, h, w, width]`."""
        older = torch.cat([past[:, 1:], torch.full_like(past[:, :1], self.none)], 1)
        changes = self._changes(past, older)
        by_cell, changes_by_cell = (each.permute(0, 2, 3, 1, 4).flatten(-2) for each in (past, changes))
        x = embed(self.past, by_cell) + embed(self.past_changes, changes_by_cell)
        return self.convolutions(x) + self.position

    def look_around(self, seen: Tensor, before: Tensor, present: Tensor, cells: int) -> Tensor:
        """What is known in front of each of the first `cells` cells: `[B, cells, width]`.

        `seen` is what `look_back` gives. `before`, `present`: `[B, h, w, n]`, the latent frame before and this one, of
        which a cell sees the cells before it only.
        """
        now, then = self._neighbours(present), self._neighbours(before)
        x = seen + embed(self.neighbours, now) + embed(self.neighbour_changes, self._changes(now, then))
        mask = nn.Transformer.generate_square_subsequent_mask(cells)
        return self.layers(x.flatten(1, 2)[:, :cells], mask=mask, is_causal=True)

    def _neighbours(self, digits: Tensor) -> Tensor:
        """`[B, h, w, n]` to `[B, h, w, 4 · n]`."""
        rows, columns = self.shape.grid
        padded = functional.pad(digits, (0, 0, 1, 1, 1, 0), value=self.none)
        return torch.cat([padded[:, 1 + y : 1 + y + rows, 1 + x : 1 + x + columns] for y, x in NEIGHBOURS], -1)

    def score(self, known: Tensor, before: Tensor, present: Tensor) -> Tensor:
        """Logarithms of probabilities, not normalized: `[..., n, V]`.

        `known`: `[..., width]`, of `look_around`. `before`, `present`: `[..., n]`, the digits of the same cell in the
        latent frame before and in this one. Of `present`, a digit sees those before it only.
        """
        digits = torch.arange(len(self.shape.levels))
        visible = torch.where(digits < digits[:, None], present[..., None, :], self.none)
        changes = self._changes(visible, before[..., None, :])
        inner = self.cell(known).unflatten(-1, (len(digits), -1))
        inner = inner + embed_rows(self.digits, visible) + embed_rows(self.digit_changes, changes)
        inner = functional.gelu(inner)
        logits = torch.einsum("...nd,ndv->...nv", inner, self.output) + self.transitions[digits, before]
        by_change = torch.einsum("...nd,ndv->...nv", inner, self.change_output)
        change = torch.arange(self.none) - before[..., None] + self.none - 1
        return (logits + by_change.gather(-1, change)).masked_fill(self.impossible, -torch.inf)

    def forward(self, past: Tensor, present: Tensor) -> Tensor:
        """`[B, K, h, w, n]` and `[B, h, w, n]` digits to scores, `[B, h · w, n, V]`."""
        rows, columns = self.shape.grid
        known = self.look_around(self.look_back(past), past[:, 0], present, rows * columns)
        return self.score(known, past[:, 0].flatten(1, 2), present.flatten(1, 2))

    @torch.no_grad()
    def sample(self, past: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        """The next latent frame, `[h, w, n]`, after those of `past`, `[K, h, w, n]`; digit by digit."""
        rows, columns = self.shape.grid
        seen = self.look_back(past[None])
        present = torch.full((1, rows, columns, len(self.shape.levels)), self.none)
        for cell in range(rows * columns):
            y, x = divmod(cell, columns)
            known = self.look_around(seen, past[None, 0], present, cell + 1)[0, -1]
            for digit in range(len(self.shape.levels)):
                scores = self.score(known, past[0, y, x], present[0, y, x])[digit]
                chances = functional.softmax(scores / temperature, -1)
                present[0, y, x, digit] = torch.multinomial(chances, 1, generator=generator)[0]
        return present[0]


def embed(embedding: nn.EmbeddingBag, values: Tensor) -> Tensor:
    """`[..., places]` numbers to `[..., width]`; each place has vectors of its own."""
    places = values.shape[-1]
    rows = values + torch.arange(places) * (embedding.num_embeddings // places)
    return embedding(rows.reshape(-1, places)).reshape(*values.shape[:-1], -1)


def embed_rows(embedding: nn.EmbeddingBag, values: Tensor) -> Tensor:
    """`[..., n, places]` numbers to `[..., n, width]`; each of the n has vectors of its own, too."""
    n, places = values.shape[-2:]
    first = torch.arange(n)[:, None] * places + torch.arange(places)
    rows = values + first * (embedding.num_embeddings // (n * places))
    return embedding(rows.reshape(-1, places)).reshape(*values.shape[:-1], -1)


def save(path: Path, model: Model, about: dict[str, Any]) -> None:
    """Writes weights and shape. `about`: numbers and text that belong to them."""
    torch.save({"shape": asdict(model.shape), "about": about, "weights": model.state_dict()}, path)


def load(path: Path) -> tuple[Model, dict[str, Any]]:
    """What `save` wrote. Raises `ValueError` for other files."""
    try:
        saved = torch.load(path, weights_only=True)
        shape, about, weights = saved["shape"], saved["about"], saved["weights"]
    except OSError:
        raise
    except Exception as error:  # PyTorch raises nearly anything for a file of another kind
        raise ValueError(f"{path} is no model of train.py: {error}".splitlines()[0]) from error
    shape = {name: tuple(value) if isinstance(value, Sequence) else value for name, value in shape.items()}
    model = Model(Shape(**shape))
    model.load_state_dict(weights)
    return model.eval(), about
