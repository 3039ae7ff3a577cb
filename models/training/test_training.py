"""Quick tests of the training code. They need PyTorch: python3 -m pytest models/training"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import growth
import losses
import train
import trainer
from data import Clips
from graph_runner import GraphRunner
from graphs import decoder_graph, describe, encoder_graph, folder, smooth, verify, with_half_precision_kernels
from measure import grid, psnr, pulsing, reconstruct, ssim
from optimizer import orthogonalize
from shape import NAME
from small_network import Configuration, Quantizer, StepMemory, Tokenizer, group, ungroup

BUILT_IN = Path(__file__).resolve().parent.parent / NAME
SMALL = Configuration(
    width=8, deep_width=16, encoder_blocks=1, encoder_deep_blocks=1, decoder_deep_blocks=1, decoder_blocks=1
)


@pytest.fixture
def tokenizer() -> Tokenizer:
    """Random weights without zeros: a fresh block's zeros would hide its path."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(SMALL)
    for parameter in tokenizer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return with_half_precision_kernels(tokenizer.eval().requires_grad_(False))


def test_streaming_equals_whole_clip(tokenizer: Tokenizer) -> None:
    clips = torch.rand(2, 13, 3, 24, 32) * 2 - 1
    whole, z, _ = tokenizer(clips)
    for clip, expected, expected_z in zip(clips, whole, z.unflatten(0, (2, -1)), strict=True):
        past, future = StepMemory(), StepMemory()
        shown = []
        for index, frames in enumerate(group(clip[None], 4)[0]):
            step_z = tokenizer.encoder(frames[None], past)
            torch.testing.assert_close(step_z[0], expected_z[index], atol=1e-4, rtol=0)
            # Takes the whole clip's z, so that a rounding tie cannot decide this test.
            decoded = tokenizer.decoder(tokenizer.quantizer(expected_z[index][None]), future)
            shown.append(decoded)
        torch.testing.assert_close(ungroup(torch.cat(shown), len(shown))[0], expected, atol=1e-4, rtol=0)


def test_future_frames_change_nothing(tokenizer: Tokenizer) -> None:
    clips = torch.rand(1, 13, 3, 16, 16) * 2 - 1
    changed = clips.clone()
    changed[:, 9:] = 0
    torch.testing.assert_close(tokenizer(clips)[0][:, :9], tokenizer(changed)[0][:, :9])


def test_graphs_equal_the_network(tokenizer: Tokenizer) -> None:
    verify(tokenizer, encoder_graph(tokenizer, with_z=True), decoder_graph(tokenizer, with_recon=True))


def test_a_wrong_graph_is_refused(tokenizer: Tokenizer) -> None:
    encoder, decoder = encoder_graph(tokenizer, with_z=True), decoder_graph(tokenizer, with_recon=True)
    tokenizer.decoder.head.bias += 0.01
    with pytest.raises(SystemExit, match="recon differs"):
        verify(tokenizer, encoder, decoder)


def test_folder_round_trip(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder.write(tmp_path, describe(tokenizer, "test"), encoder_graph(tokenizer), decoder_graph(tokenizer))
    video = np.random.default_rng(3).integers(0, 256, (9, 16, 24, 3), np.uint8)
    shown, tokens = reconstruct(GraphRunner(tmp_path / "encoder.onnx"), GraphRunner(tmp_path / "decoder.onnx"), video)
    assert shown.shape == video.shape
    assert tokens.shape == (3, 2, 3)
    assert 0 <= tokens.min() <= tokens.max() < math.prod(SMALL.levels)


@pytest.fixture(scope="module")
def built_in() -> Tokenizer:
    """The network of the tokenizer that is built into the plugin, with the weights that its graphs hold."""
    config, weights = growth.read(BUILT_IN)
    tokenizer = Tokenizer(config)
    tokenizer.load_state_dict(weights)  # every tensor of the network, or it raises
    return tokenizer.eval().requires_grad_(False)


def test_the_built_in_tokenizer_s_digest_comes_from_its_weights(built_in: Tokenizer) -> None:
    entries = json.loads((BUILT_IN / "tokenizer.json").read_text())
    del entries["variants"]
    assert describe(built_in, NAME).entries() == entries


@pytest.mark.parametrize(("role", "build"), [("encoder", encoder_graph), ("decoder", decoder_graph)])
def test_the_built_in_graphs_and_those_built_anew_give_the_same(
    built_in: Tokenizer, role: str, build: Callable[[Tokenizer], onnx.ModelProto]
) -> None:
    """Outputs and states, bit by bit. (One constant of FSQ is rounded another way now: 3.5035002, not 3.5035.)"""
    shipped, anew = onnx.load(BUILT_IN / f"{role}.onnx"), build(built_in)
    for ends in ("input", "output"):
        expected, found = ({v.name: v.type for v in getattr(model.graph, ends)} for model in (shipped, anew))
        assert found == expected
    random = np.random.default_rng(10)
    if role == "encoder":
        name, steps = "frames", [smooth(random, 64, 96, 4) for _ in range(4)]
    else:
        name, steps = "tokens", random.integers(0, 8**5, (4, 1, 1, 8, 12), np.int32)
    runners = [GraphRunner(model) for model in (shipped, anew)]
    for runner in runners:
        runner.start(64, 96)
    for value in steps:
        expected, found = (runner.step(name, value) | runner.feeds for runner in runners)
        assert found.keys() == expected.keys() and len(found) > 1
        for key, array in expected.items():
            np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_first_starts_over(tokenizer: Tokenizer) -> None:
    video = np.random.default_rng(4).integers(0, 256, (9, 16, 16, 3), np.uint8)
    encoder = GraphRunner(encoder_graph(tokenizer))
    decoder = GraphRunner(decoder_graph(tokenizer))
    before = reconstruct(encoder, decoder, video)
    after = reconstruct(encoder, decoder, video)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])


def test_quantizer_follows_the_paper() -> None:
    quantizer = Quantizer((8, 8, 8, 8, 8))
    z = torch.tensor([-9.0, -0.3, 0.0, 0.3, 9.0])
    codes = quantizer(z[None, None, :, None].expand(1, 5, 5, 1))
    half = 3.5 * 1.001
    shift = math.atanh(0.5 / half)
    digits = [round(math.tanh(value + shift) * half - 0.5) + 4 for value in z.tolist()]
    assert digits[0] == 0 and digits[2] == 4 and digits[4] == 7
    expected = [(digit - 4) / 4 for digit in digits]
    torch.testing.assert_close(codes[0, 0, :, 0], torch.tensor(expected))
    assert quantizer.indices(codes)[0, :, 0].tolist() == [digit * (1 + 8 + 64 + 512 + 4096) for digit in digits]
    first = torch.full((1, 5, 1, 1), -1.0)
    first[0, 0] = 0.75
    assert quantizer.indices(first).item() == 7


def test_batches_depend_on_seed_and_step_alone(footage: Path, tmp_path: Path) -> None:
    def clips(seed: int) -> Clips:
        return Clips([footage], tmp_path / "cache", seed, batch=6, frames=9, crop=32)

    batch = clips(5)[7]
    assert batch.shape == (6, 9, 3, 32, 32)
    assert batch.abs().max() <= 1
    assert torch.equal(batch, clips(5)[7])
    assert not torch.equal(batch, clips(5)[8])
    assert not torch.equal(batch, clips(6)[7])


def test_a_killed_training_continues_as_if_never_killed(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "Configuration", lambda: SMALL)

    def weights(output: str, *stops: int) -> dict[str, torch.Tensor]:
        for stop in stops:
            command = f"train.py --data {footage} --output {tmp_path / output} --cache {tmp_path / 'cache'}"
            options = "--steps 4 --batch 2 --frames 9 --crop 32"
            monkeypatch.setattr("sys.argv", f"{command} {options}".split())
            training = trainer.Training(train.parse_arguments())
            while training.step < stop:
                training.train(training.clips[training.step])
                training.step += 1
            training.save()
        return training.average

    whole, resumed = weights("whole", 4), weights("resumed", 2, 4)
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_a_training_starts_from_another_one_s_average(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(output: str, options: str = "") -> trainer.Training:
        command = f"train.py --data {footage} --output {tmp_path / output} --cache {tmp_path / 'cache'} {options}"
        monkeypatch.setattr("sys.argv", f"{command} --steps 4 --batch 2 --frames 9 --crop 32".split())
        return trainer.Training(train.parse_arguments())

    monkeypatch.setattr(trainer, "Configuration", lambda: SMALL)
    first = training("first")
    for step in range(2):
        first.train(first.clips[step])
        first.step += 1
    first.save()
    start = f"--start {first.checkpoint_path}"
    second = training("second", start)
    assert second.step == 0
    for name, value in second.tokenizer.state_dict().items():
        assert torch.equal(value, first.average[name]), name
        assert torch.equal(second.average[name], value), name
    # A training that continues does not start from --start again.
    second.train(second.clips[0])
    second.step += 1
    second.save()
    assert training("second", start).step == 1
    with pytest.raises(SystemExit, match="no checkpoint"):
        training("third", f"--start {tmp_path / 'nowhere.pt'}")
    with pytest.raises(SystemExit, match="another --network"):
        training("second", "--network decoder_width=16")
    fourth = training("fourth", f"{start} --network decoder_width=16")
    assert fourth.tokenizer.config == replace(SMALL, decoder_width=16)
    with pytest.raises(SystemExit, match="can only grow"):
        training("fifth", f"{start} --network decoder_width=4")


def test_length_may_change_before_the_decay() -> None:
    for step in (0, 50, 199, 200, 5000):
        assert trainer.learning_rate(step, step / 10_000) == trainer.learning_rate(step, step / 20_000)
    assert trainer.learning_rate(9_999, 0.9999) < 0.001


def test_orthogonalize() -> None:
    torch.manual_seed(6)
    for shape in ((3, 8, 40), (3, 40, 8)):
        singular = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
        assert 0.6 < singular.min() and singular.max() < 1.3


def test_figures() -> None:
    video = np.zeros((9, 16, 16, 3), np.uint8)
    assert psnr(video, video + 16) == pytest.approx(20 * math.log10(255 / 16))
    random = np.random.default_rng(7).integers(0, 256, video.shape, np.uint8)
    assert ssim(random, random) == pytest.approx(1)
    assert abs(ssim(random, random[::-1].copy())) < 0.2
    ramp = np.broadcast_to(np.arange(16, dtype=np.uint8)[None, :, None, None], video.shape)
    slope = ramp + ramp.transpose(0, 2, 1, 3)
    assert grid(slope) == pytest.approx(1)
    blocky = ramp + ramp // 8 * 4
    assert grid(blocky + blocky.transpose(0, 2, 1, 3)) == pytest.approx(5)
    steps = np.arange(9, dtype=np.uint8)[:, None, None, None] + video
    assert pulsing(steps) == pytest.approx(1)
    steps[5:] += 8
    assert pulsing(steps) == pytest.approx(5)


def test_pulse_is_change_at_group_borders_alone() -> None:
    ramp = torch.linspace(-1, 1, 13)[None, :, None, None, None].expand(2, 13, 3, 16, 16)
    held = ramp[:, [0, *(4 * (1 + index // 4) for index in range(12))]]
    assert losses.pulse(ramp, ramp) == 0
    # Every fourth step is a jump of 4/6, with no change in between.
    assert losses.pulse(held, ramp).item() == pytest.approx(4 / 6)
    assert losses.pulse(held, held) == 0


def test_unevenness() -> None:
    torch.manual_seed(8)
    levels = (8, 8, 8, 8, 8)

    def distance(codes: torch.Tensor) -> float:
        return losses.unevenness(codes, levels, torch.Generator().manual_seed(9)).item()

    even = torch.rand(2, 2000, 5) * 8 - 4.5
    alike = even[..., :1].expand(-1, -1, 5)
    assert distance(even.clamp(-4, 3)) < 0.02
    # Five equal channels: each channel alone is even, so only the other directions show it.
    assert distance(alike.clamp(-4, 3)) > 1
    # All codes in the middle: the variance of an even draw over 8 levels, 8 * 8 / 12.
    assert distance(torch.full((1, 2000, 5), -0.5)) == pytest.approx(64 / 12, rel=0.1)
    mixed = torch.cat([torch.full((1, 2000, 5), -4.0), torch.full((1, 2000, 5), 3.0)])
    assert distance(mixed) > 64 / 12, "each clip is compared alone"


def test_similarity_and_entropy() -> None:
    frames = torch.rand(2, 3, 3, 16, 16) * 2 - 1
    assert losses.similarity(frames, frames).item() == pytest.approx(1, abs=1e-3)
    assert losses.entropy(torch.tensor([4, 4, 0, 4, 4])) == pytest.approx(2)
    assert losses.psnr(4 / 100) == pytest.approx(20, abs=1e-4)
