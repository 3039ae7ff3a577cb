"""Tests of starting from another network's weights, and of choosing footage. They need PyTorch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import growth
import train
from data import Choice, Clips, Footage, Pool, cached
from graphs import decoder_graph, describe, encoder_graph, folder, with_half_precision_kernels
from small_network import Configuration, Tokenizer

SMALL = Configuration(
    width=8, deep_width=16, encoder_blocks=1, encoder_deep_blocks=1, decoder_deep_blocks=1, decoder_blocks=1
)
LARGER = replace(
    SMALL,
    width=12,
    encoder_blocks=2,
    encoder_deep_blocks=2,
    decoder_blocks=3,
    decoder_deep_blocks=2,
    decoder_width=20,
    decoder_deep_width=24,
)


def random_tokenizer(config: Configuration) -> Tokenizer:
    """Without the zeros that fresh blocks have."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(config)
    for parameter in tokenizer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return tokenizer


def test_a_grown_network_gives_the_same() -> None:
    small, larger = random_tokenizer(SMALL), Tokenizer(LARGER)
    growth.load(larger, SMALL, small.state_dict())
    clips = torch.rand(1, 13, 3, 24, 32) * 2 - 1
    with torch.inference_mode():
        (frames, z, tokens), (grown_frames, grown_z, grown_tokens) = small(clips), larger(clips)
    torch.testing.assert_close(grown_z, z, atol=1e-4, rtol=1e-4)
    # A token on a rounding tie would change a whole cell.
    assert torch.equal(grown_tokens, tokens)
    torch.testing.assert_close(grown_frames, frames, atol=1e-3, rtol=1e-4)


def test_training_reaches_what_was_added() -> None:
    small, larger = random_tokenizer(SMALL), Tokenizer(LARGER)
    growth.load(larger, SMALL, small.state_dict())
    frames, z, _ = larger(torch.rand(1, 9, 3, 16, 16) * 2 - 1)
    (frames.square().mean() + z.square().mean()).backward()
    # From added channels to the ones that were there, and out of the added blocks.
    assert larger.decoder.head.weight.grad[:, SMALL.width :].abs().max() > 0
    assert larger.decoder.up.weight.grad[: 4 * SMALL.width, SMALL.deep_width :].abs().max() > 0
    assert larger.encoder.down.weight.grad[:, SMALL.width :].abs().max() > 0
    for added in (larger.encoder.blocks[1], larger.encoder.deep_blocks[1], larger.decoder.blocks[2]):
        assert added.out.weight.grad.abs().max() > 0


@pytest.mark.parametrize("change", [{"deep_width": 24}, {"levels": (8, 8, 8, 5)}])
def test_what_cannot_grow_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(SystemExit, match="--start"):
        growth.load(Tokenizer(replace(SMALL, **change)), SMALL, Tokenizer(SMALL).state_dict())


def test_a_folder_is_read_back(tmp_path: Path) -> None:
    tokenizer = with_half_precision_kernels(random_tokenizer(LARGER).requires_grad_(False))
    folder.write(tmp_path, describe(tokenizer, "test"), encoder_graph(tokenizer), decoder_graph(tokenizer))
    config, weights = growth.read(tmp_path)
    assert config == LARGER
    assert weights.keys() == tokenizer.state_dict().keys()
    for name, value in tokenizer.state_dict().items():
        assert torch.equal(weights[name], value), name


def test_footage_is_chosen_by_name(footage: Path, tmp_path: Path) -> None:
    videos, photographs = cached([footage], tmp_path / "cache", Choice(["photo*"], {"*.mp4": 3.0, "video*": 0.5}))
    assert [video.weight for video in videos] == [1.5]
    assert photographs == []
    with pytest.raises(SystemExit, match="no video"):
        Clips([footage], tmp_path / "cache", 0, 1, 9, 32, Choice(["*"]))


def test_footage_is_drawn_by_weight() -> None:
    pool = Pool([Footage(np.full(1, index), weight) for index, weight in enumerate((1.0, 0.0, 3.0))])
    random = np.random.default_rng(2)
    drawn = np.bincount([pool.draw(random)[0] for _ in range(4000)], minlength=3) / 4000
    assert drawn[1] == 0
    assert drawn[2] == pytest.approx(0.75, abs=0.03)  # 4 deviations


@pytest.mark.parametrize("options", ["--network depth=3", "--network width=0", "--network width", "--weigh a.mp4=-1"])
def test_settings_are_checked(options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", "--data", "x", "--output", "y", *options.split()])
    with pytest.raises(SystemExit):
        train.parse_arguments()
    assert "--network" in capsys.readouterr().err or "--weigh" in options
