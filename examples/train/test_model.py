"""The network: what may see what. Needs PyTorch, so `tests/run.sh` does not run it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import baselines
import clips
from model import Model, Shape, load, save
from train import worn

SHAPE = Shape((5, 3, 4), (4, 4), frames=2, width=16, convolutions=2, layers=2, heads=2)
DIGITS = len(SHAPE.levels)


def random_digits(*shape: int) -> torch.Tensor:
    return torch.stack([torch.randint(values, shape) for values in SHAPE.levels], -1)


def random_model() -> Model:
    torch.manual_seed(1)
    model = Model(SHAPE).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.1)
    return model


@torch.no_grad()
def test_a_digit_is_predicted_from_those_before_it_only() -> None:
    model = random_model()
    past, present = random_digits(1, 2, 4, 4), random_digits(1, 4, 4)
    places = 4 * 4 * DIGITS
    scores = model(past, present).exp().flatten(0, 2)
    for place in range(places - 1):
        other = present.clone()
        other.view(-1)[place] = (other.view(-1)[place] + 1) % SHAPE.levels[place % DIGITS]
        changed = ~torch.isclose(model(past, other).exp().flatten(0, 2), scores).all(-1)
        assert not changed[: place + 1].any()
        assert changed[place + 1 :].any()


@torch.no_grad()
def test_a_sample_has_the_chances_that_training_gives_it() -> None:
    """At a temperature near 0, each digit is the likeliest one, given those that were sampled before it."""
    model = random_model()
    past = random_digits(2, 4, 4)
    sampled = model.sample(past, 1e-4, torch.Generator().manual_seed(1))
    likeliest = model(past[None], sampled[None]).argmax(-1)
    assert torch.equal(likeliest[0], sampled.flatten(0, 1))


@torch.no_grad()
def test_digits_that_do_not_exist_have_no_chance() -> None:
    chances = functional.softmax(random_model()(random_digits(1, 2, 4, 4), random_digits(1, 4, 4)), -1)
    for digit, values in enumerate(SHAPE.levels):
        assert (chances[..., digit, values:] == 0).all()
        assert (chances[..., digit, :values] > 0).all()


@torch.no_grad()
def test_a_model_begins_as_the_baseline_that_counts_changes() -> None:
    tokens = np.random.default_rng(1).integers(0, 60, (30, 4, 4))
    about = {"key": "a", "segments": [[0, 30, 0, 117]], "tokenizer": {"levels": list(SHAPE.levels)}}
    given = clips.examples([clips.Clip(about, tokens)], SHAPE.frames)
    tables = baselines.transitions(given, SHAPE.levels)
    past, present = torch.from_numpy(given.past), torch.from_numpy(given.present)
    chances = functional.softmax(Model(SHAPE, tables).eval()(past, present), -1)
    expected = tables[np.arange(DIGITS), given.past[:, 0]].reshape(29, 16, DIGITS, 5)
    np.testing.assert_allclose(chances.numpy(), expected, atol=1e-6)


def test_worn_tokens_are_digits_and_next_to_what_they_were() -> None:
    torch.manual_seed(1)
    past = random_digits(64, 2, 4, 4)
    past[:, 1, 0] = max(SHAPE.levels)
    other = worn(past, SHAPE.levels, 0.5)
    assert ((other - past).abs() <= 1).all()
    assert torch.equal(other[:, 1, 0], past[:, 1, 0])
    assert (other[:, 0] < torch.tensor(SHAPE.levels)).all() and (other >= 0).all()
    untouched = (other == past).flatten(1).all(1).sum()
    assert 16 < untouched < 48


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = random_model()
    save(tmp_path / "model.pt", model, {"digest": "0" * 64})
    again, about = load(tmp_path / "model.pt")
    assert again.shape == SHAPE and about == {"digest": "0" * 64}
    past, present = random_digits(1, 2, 4, 4), random_digits(1, 4, 4)
    torch.testing.assert_close(again(past, present), model(past, present))


@pytest.mark.parametrize("content", [b"", b"no model", b"epoch bits\n1 9.2\n"])
def test_nothing_but_a_model_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match="is no model of train.py"):
        load(tmp_path / "model.pt")
