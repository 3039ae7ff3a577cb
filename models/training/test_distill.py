"""Quick tests of learning a teacher's tokens. They need PyTorch: python3 -m pytest models/training"""

import json
import math
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import graphs
import to_onnx
import train
import trainer
from agreement import compare_tokens
from distill import Distillation, Levels
from graph_runner import GraphRunner, decode, encode
from graphs import decoder_graph, encoder_graph, folder
from optimizer import optimizers
from small_network import Quantizer, Tokenizer
from teacher import Teacher
from test_training import SMALL
from token_figures import split


@pytest.fixture
def teacher_folder(tmp_path: Path) -> Path:
    """A tokenizer with readable tokens: digits 0 to 3 are the frames' red, digit 4 is the last frame's green."""
    torch.manual_seed(1)
    tokenizer = Tokenizer(SMALL).requires_grad_(False)
    linear = tokenizer.encoder.linear
    for parameter in (linear.weight, linear.bias, tokenizer.encoder.code.weight, tokenizer.encoder.code.bias):
        parameter.zero_()
    for digit, channel in enumerate((0, 3, 6, 9, 10)):
        linear.weight[digit, channel] = 1 / 64
    place = tmp_path / "teacher"
    description = replace(graphs.describe(tokenizer, "readable"), licence="CC0-1.0")
    folder.write(place, description, encoder_graph(tokenizer), decoder_graph(tokenizer))
    return place


def level(red: int) -> int:
    """A digit of the readable teacher, by the paper's formula."""
    reach = 3.5 * 1.001
    return round(math.tanh(red / 127.5 - 1 + math.atanh(0.5 / reach)) * reach - 0.5) + 4


def flicker(random: np.random.Generator, frames: int) -> np.ndarray:
    """A clip of plain pictures in random colours, uint8 `[T, 16, 16, 3]`."""
    return random.integers(0, 256, (frames, 1, 1, 3), np.uint8).repeat(16, 1).repeat(16, 2)


def change(place: Path, **entries: object) -> Path:
    path = place / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return place


def test_tokens_stand_for_their_frames(teacher_folder: Path) -> None:
    clips = np.stack([flicker(np.random.default_rng(seed), 9) for seed in (1, 2)])
    tokens = Teacher(teacher_folder).tokens(clips)
    assert tokens.shape == (2, 3, 2, 2)
    found = split(tokens, SMALL.levels)
    for clip, one in zip(clips, found, strict=True):
        red, green = clip[:, 0, 0, 0].tolist(), clip[:, 0, 0, 1].tolist()
        shown = [[red[0]] * 4 + [green[0]], red[1:5] + [green[4]], red[5:9] + [green[8]]]
        expected = np.array([[level(value) for value in group] for group in shown])
        np.testing.assert_array_equal(one, np.broadcast_to(expected[:, None, None], one.shape))


def test_tokens_are_the_reference_s(tmp_path: Path) -> None:
    """Tokens and frames are those that VidTok v1.1 gave on the recipe's weights. Its decoder is 3 frames late."""
    pytest.importorskip("yaml", reason="models/requirements.txt is not installed")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "python"))
    from golden import DATA, Golden

    golden = Golden(DATA / "golden" / "vidtok_fsq_causal_488_32768_v1_1.npz")
    golden.export(tmp_path, test_outputs=False)
    teacher = Teacher(tmp_path, threads=1)
    frames, indices = golden.arrays["frames"], golden.arrays["indices"].astype(np.int32)
    np.testing.assert_array_equal(teacher.tokens(frames[None])[0], indices)
    shown = decode(teacher.runner("decoder", 1), indices, teacher.description.decoder_delay, 8)
    expected = ((golden.arrays["recon"].clip(-1, 1) + 1) * 127.5).round()
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).max() <= 1


@pytest.fixture
def distillation(teacher_folder: Path) -> Callable[[str], Distillation]:
    def make(part: str) -> Distillation:
        torch.manual_seed(2)
        arguments = Namespace(part=part, precision="fp32", compile=False)
        return Distillation(Tokenizer(SMALL), Teacher(teacher_folder, threads=1), arguments)

    return make


def test_students_learn(distillation: Callable[[str], Distillation]) -> None:
    """Each cell of each frame has a random brightness, so tokens that were off by a frame would teach little."""
    objective = distillation("both")
    rate, steps = 2e-2, 100
    steppers = optimizers(objective.tokenizer, rate, rate)
    random = np.random.default_rng(3)
    losses, figures = [], []
    for step in range(steps):
        grey = random.integers(0, 256, (4, 9, 1, 3, 3), np.uint8)
        clips = torch.from_numpy(grey.repeat(3, 2).repeat(8, 3).repeat(8, 4)).float() / 127.5 - 1
        for stepper in steppers:
            stepper.param_groups[0]["lr"] = rate * min(1, 2 * (1 - step / steps))
            stepper.zero_grad()
        loss, reported = objective(clips, step)
        loss.backward()
        for stepper in steppers:
            stepper.step()
        losses.append(float(loss.detach()))
        figures.append(reported)
    assert np.mean(losses[-10:]) < losses[0] / 2
    right = torch.stack([reported["right"] for reported in figures[-10:]]).mean(0)
    assert right[1:].min() > 0.6, "chance is 1/8"
    error = torch.stack([reported["error"] for reported in figures[-10:]]).mean()
    # A constant leaves the variance, a third; one unknown frame of four leaves a quarter of it.
    assert error < 0.333 / 5


def test_one_part_alone(distillation: Callable[[str], Distillation]) -> None:
    clips = torch.rand(2, 9, 3, 16, 16) * 2 - 1
    for part, other, reported in (("encoder", "decoder", "right"), ("decoder", "encoder", "error")):
        objective = distillation(part)
        loss, figures = objective(clips, 0)
        loss.backward()
        assert figures.keys() == {"teacher", reported}
        assert objective.summary({name: [value] for name, value in figures.items()})["teacher_ms"] >= 0
        assert all(parameter.grad is None for parameter in getattr(objective.tokenizer, other).parameters())
        assert any(parameter.grad is not None for parameter in getattr(objective.tokenizer, part).parameters())


def test_levels_are_what_the_quantizer_rounds_to() -> None:
    quantizer = Quantizer((8, 5, 2, 3))
    levels = Levels(quantizer)
    z = torch.linspace(-3, 3, 999)[:, None, None, None].expand(-1, 4, 1, 1)
    found = quantizer.digits(quantizer(z))
    assert found.flatten(1).amax(0).tolist() == [7, 4, 1, 2]
    assert (levels.low[levels.channel, found] <= z).all() and (z <= levels.high[levels.channel, found]).all()
    torch.testing.assert_close(quantizer.codes(quantizer.indices(quantizer(z))), quantizer(z))


def test_distance_pulls_towards_the_level() -> None:
    levels = Levels(Quantizer((8,)))
    expected_digit = torch.full((1, 1, 1, 1), 5)
    z = torch.tensor([-4.0, -1.0, 0.43, 4.0]).view(4, 1, 1, 1).requires_grad_()
    distances = torch.stack([levels.distance(one[None], expected_digit) for one in z])
    distances.sum().backward()
    low, high = levels.low[0, 5], levels.high[0, 5]
    assert distances.argmin() == 2 and low < z[2] < high
    assert (z.grad[:2] < 0).all() and z.grad[3] > 0
    # The gradient is as strong far away as nearby; behind tanh it would vanish at z = 4.
    torch.testing.assert_close(z.grad[0], -z.grad[3], atol=1e-3, rtol=0)
    outermost = torch.tensor([7]).view(1, 1, 1, 1)
    assert levels.distance(torch.full((1, 1, 1, 1), 4.0), outermost) < 1e-3


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"levels": None, "channels": 4, "regularizer": "kl"}, "4 continuous numbers .KL.*Supported are causal FSQ"),
        ({"causal": False, "window": 16}, "not causal"),
        ({"space-factor": 16}, "4x16x16"),
        ({"time-factor": 8}, "8x8x8"),
        ({"levels": [8, 1]}, r"levels are \(8, 1\)"),
        ({"levels": "many"}, "levels are"),
        ({"format": 2}, "format 2"),
        ({"variants": []}, "no graphs for the CPU in fp32"),
        ({"digest": "0" * 64}, "digest is .*, but 0000"),
        ({"variants": [{"target": "cpu", "precision": "fp32", "encoder": "no.onnx", "decoder": "d"}]}, "is missing"),
        ({"variants": [{"target": "cpu", "precision": "fp32", "encoder": "decoder.onnx", "decoder": "d"}]}, "its role"),
    ],
)
def test_other_teachers_are_refused(teacher_folder: Path, entries: dict[str, object], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        Teacher(change(teacher_folder, **entries))


def test_a_folder_that_is_not_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no tokenizer.json"):
        Teacher(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"format": 1, "name": "half"}')
    with pytest.raises(SystemExit, match="the key 'digest' is missing"):
        Teacher(tmp_path)


@pytest.fixture
def trained(
    footage: Path, teacher_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., trainer.Training]:
    """Trains up to some step, given the command line's options; with an output that exists, it continues."""
    monkeypatch.setattr(trainer, "Configuration", lambda: SMALL)

    def run(output: str, steps: int, options: str) -> trainer.Training:
        command = f"train.py --data {footage} --output {tmp_path / output} --cache {tmp_path / 'cache'} --threads 1"
        size = "--steps 4 --batch 2 --frames 9 --crop 32"
        monkeypatch.setattr("sys.argv", f"{command} {size} {options}".split())
        training = trainer.Training(train.parse_arguments())
        while training.step < steps:
            training.train(training.clips[training.step])
            training.step += 1
        training.save()
        return training

    return run


def test_a_training_with_a_teacher_continues_after_a_kill_as_if_never_killed(
    trained: Callable[..., trainer.Training], teacher_folder: Path, tmp_path: Path
) -> None:
    options = f"--teacher {teacher_folder} --teacher-batches 3"
    whole = trained("whole", 4, options).average
    trained("resumed", 2, options)
    assert len(list((tmp_path / "cache" / "tokens").glob("*.npy"))) == 3
    for name, value in trained("resumed", 4, options).average.items():
        assert torch.equal(value, whole[name]), name


def test_batches_repeat(trained: Callable[..., trainer.Training], teacher_folder: Path) -> None:
    clips = trained("again", 0, f"--teacher {teacher_folder} --teacher-batches 3").clips
    assert torch.equal(clips[1], clips[4])
    assert not torch.equal(clips[1], clips[2])


def test_kept_tokens_are_those_of_their_clips(teacher_folder: Path, tmp_path: Path) -> None:
    teacher = Teacher(teacher_folder, cache=tmp_path / "tokens")
    clips = [flicker(np.random.default_rng(seed), 9)[None] for seed in (5, 6)]
    fresh = [teacher.tokens(clip) for clip in clips]
    kept = [teacher.tokens(clip) for clip in clips]
    assert not np.array_equal(*fresh)
    for one, other in zip(fresh, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_continuing_with_another_teacher_is_refused(
    trained: Callable[..., trainer.Training], teacher_folder: Path
) -> None:
    trained("run", 1, f"--teacher {teacher_folder} --part decoder")
    for options in ("", f"--teacher {teacher_folder}"):
        with pytest.raises(SystemExit, match="another teacher or part"):
            trained("run", 2, options)


@pytest.mark.parametrize("options", ["--part encoder", "--teacher-batches 3", "--teacher . --teacher-batches 0"])
def test_options_that_mean_nothing_are_refused(trained: Callable[..., trainer.Training], options: str) -> None:
    with pytest.raises(SystemExit):
        trained("refused", 1, options)


@pytest.mark.parametrize("part", ["encoder", "decoder", "both"])
def test_the_folder_is_one_for_the_teacher_s_tokens(
    part: str,
    trained: Callable[..., trainer.Training],
    teacher_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained("run", 1, f"--teacher {teacher_folder} --part {part}")
    change(teacher_folder, **{"decoder-delay": 3})  # only the teacher's own decoder has it

    def write(place: Path, *options: str) -> dict[str, object]:
        checkpoint = tmp_path / "run" / "checkpoint.pt"
        monkeypatch.setattr("sys.argv", ["to_onnx.py", str(checkpoint), str(place), *options])
        to_onnx.main()
        return json.loads((place / "tokenizer.json").read_text())

    teacher = json.loads((teacher_folder / "tokenizer.json").read_text())
    if part != "both":
        with pytest.raises(SystemExit, match="name the teacher's folder"):
            write(tmp_path / "student")
        with pytest.raises(SystemExit, match="holds the teacher"):
            write(teacher_folder, "--teacher", str(teacher_folder))
    entries = write(tmp_path / "student", "--teacher", str(teacher_folder))
    assert entries["digest"] == teacher["digest"] and entries["licence"] == "CC0-1.0"
    assert entries["name"] == "readable-distilled" + ("" if part == "both" else f"-{part}")
    video = flicker(np.random.default_rng(7), 9)
    tokens = [encode(GraphRunner(place / "encoder.onnx"), video) for place in (teacher_folder, tmp_path / "student")]
    shown = [
        decode(GraphRunner(place / "decoder.onnx"), tokens[0], 0, 8) for place in (teacher_folder, tmp_path / "student")
    ]
    assert np.array_equal(*tokens) == (part == "decoder")
    assert np.array_equal(*shown) == (part == "encoder")


def test_comparison() -> None:
    levels = (8, 8)
    expected = np.array([0, 0, 9, 63])
    found = np.array([0, 1, 9, 7])
    figures = compare_tokens(found, expected, levels)
    assert figures["agreement"]["tokens"] == 0.5
    assert figures["agreement"]["channels"] == [0.75, 0.75]
    assert figures["agreement"]["channels-within-one-level"] == [1, 0.75]
    assert figures["luck"] == {"tokens": 1 / 64, "channels": [1 / 8, 1 / 8]}
    assert figures["best-constant"] == {"tokens": 0.5, "channels": [0.5, 0.5]}
