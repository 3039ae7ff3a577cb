"""Every published model, exported and run step by step as the elements run it, against the reference's outputs."""

import shutil
import sys
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import byte_input
from golden import FILES, PUBLISHED, ROOT, Golden
from stepping import Arrays, Graph, Tokenizer

sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream.run import Decoder, Encoder  # noqa: E402

TOLERANCE = 1e-4  # largest error of a right implementation in z, mean and recon, and its distance to rounding ties


@dataclass(frozen=True)
class Case:
    golden: Golden
    folder: Path
    cpu: Tokenizer
    gpu: Tokenizer
    gpu_of_three: Tokenizer

    def expected(self) -> tuple[Arrays, Arrays]:
        """The outputs of the reference's encoder and decoder, by the names that the graphs give them."""
        arrays = self.golden.arrays
        tokens, beside = ("indices", "z") if self.golden.configuration.levels else ("mean", "logvar")
        return {"tokens": arrays[tokens], beside: arrays[beside]}, {"recon": arrays["recon"]}


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    golden = Golden(request.param)
    folder = tmp_path_factory.mktemp("tokenizer")
    for target in ("cpu", "gpu"):
        golden.export(folder, test_outputs=True, target=target)
    of = partial(Tokenizer, folder, *golden.arrays["frames"].shape[1:3])
    return Case(golden, folder, of(), of(target="gpu"), of(target="gpu", streams=3))


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_encoder(case: Case, target: str) -> None:
    encoded = getattr(case, target).encode(case.golden.arrays["frames"])
    assert_few([assert_same_tokens(encoded, case.expected()[0], case.golden.configuration.levels)])


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_encoder_of_bytes(case: Case, target: str, tmp_path: Path) -> None:
    """A graph that takes bytes gives the same of whole numbers as one that takes floats, bit by bit."""
    of_floats, frames = getattr(case, target), case.golden.arrays["frames"]
    shutil.copy(case.folder / f"encoder{'.gpu' if target == 'gpu' else ''}.onnx", tmp_path / "encoder.onnx")
    byte_input.rewrite(tmp_path / "encoder.onnx")
    of_bytes = Graph(tmp_path / "encoder.onnx", *frames.shape[1:3])
    steps, graphs = of_floats.encoder_steps(frames), (of_floats.encoder, of_bytes)
    assert [graph.inputs["frames"].type for graph in graphs] == ["tensor(float)", "tensor(uint8)"]
    (expected,), (found,) = (graph.run([steps], [0]) for graph in graphs)
    expected.append(of_floats.encoder.states)
    found.append(of_bytes.states)
    for step, same in zip(expected, found, strict=True):
        assert step.keys() == same.keys()
        for name, array in step.items():
            np.testing.assert_array_equal(same[name], array, err_msg=name)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_decoder(case: Case, target: str) -> None:
    encoded, decoded = case.expected()
    assert_same_pictures(getattr(case, target).decode(encoded["tokens"]), decoded)


def test_the_runner_of_vidtok_stream(case: Case) -> None:
    """Whole clips, without GStreamer and PyTorch."""
    frames, levels = case.golden.arrays["frames"], case.golden.configuration.levels
    encoded, decoded = case.expected()
    tokens = Encoder(case.folder, threads=2).encode(frames)
    if levels:
        tie = near_tie(encoded["z"], levels)
        assert ((tokens == encoded["tokens"]) | tie).all()
        assert_few([tie])
    else:
        assert_close(tokens, encoded["tokens"])
    shown = Decoder(case.folder, threads=2).decode(encoded["tokens"])
    assert shown.shape == decoded["recon"].shape
    assert (abs(shown - (np.clip(decoded["recon"], -1, 1) + 1) * 127.5) <= 0.5 + 127.5 * TOLERANCE).all()


def test_streams_at_different_places(case: Case) -> None:
    """Three streams per run start at different times, and one starts a second segment while the others are inside
    theirs. Each segment gives what it gives alone in the graphs for `--target cpu`.
    """
    levels, frames = case.golden.configuration.levels, case.golden.arrays["frames"]
    window, factor = case.cpu.facts["window"], case.cpu.facts["time-factor"]
    longer, shorter = window or 1 + 2 * factor, window or 1 + factor
    mirrored = frames[:, :, ::-1]
    streams = [[frames], [frames[::-1][:longer]], [mirrored[:shorter], mirrored[::-1][:shorter]]]
    starts = (0, 1, 2)
    alone = [[case.cpu.encode(clip) for clip in clips] for clips in streams]
    encoded = case.gpu_of_three.encode_all(streams, starts)
    pairs = zip(chain(*encoded), chain(*alone), strict=True)
    assert_few([assert_same_tokens(actual, expected, levels) for actual, expected in pairs])
    tokens = [[results["tokens"] for results in segments] for segments in alone]
    decoded = case.gpu_of_three.decode_all(tokens, starts)
    for actual, clip in zip(chain(*decoded), chain(*tokens), strict=True):
        assert_same_pictures(actual, case.cpu.decode(clip))


def test_a_segment_ignores_what_was_before(case: Case) -> None:
    """Also, in causal tokenizers the tokens of a clip's start do not depend on later frames."""
    tokenizer, frames = case.cpu, case.golden.arrays["frames"]
    whole = tokenizer.encode(frames)["tokens"]
    if tokenizer.facts["window"]:
        behind_another = tokenizer.encode(np.concatenate([frames[::-1], frames]))["tokens"]
        np.testing.assert_array_equal(behind_another[len(whole) :], whole)
        return
    count = 1 + 2 * tokenizer.facts["time-factor"]
    np.testing.assert_array_equal(tokenizer.encode(frames[:count])["tokens"], whole[:3])
    shown = tokenizer.decode(whole)["frames"]
    short = tokenizer.decode(whole[:3])["frames"]
    certain = count - tokenizer.facts["decoder-delay"]  # the others are clamped at the segment's end
    np.testing.assert_array_equal(short[:certain], shown[:certain])
    assert len(short) == count


def assert_same_tokens(actual: Arrays, expected: Arrays, levels: tuple[int, ...] | None) -> np.ndarray:
    """Returns which tokens lie so near to a rounding tie that they may differ."""
    if not levels:
        assert_close(actual["tokens"], expected["tokens"])
        assert_close(actual["logvar"], expected["logvar"])
        return np.zeros(actual["tokens"].shape[:-1], bool)
    assert_close(actual["z"], expected["z"])
    tie = near_tie(expected["z"], levels)
    assert actual["tokens"].dtype == np.int32
    assert actual["tokens"].shape == expected["tokens"].shape
    assert ((actual["tokens"] == expected["tokens"]) | tie).all()
    return tie


def assert_few(ties: list[np.ndarray]) -> None:
    """With many ties, the comparison of the other tokens would say little."""
    assert np.concatenate([tie.ravel() for tie in ties]).mean() < 0.05


def assert_same_pictures(actual: Arrays, expected: Arrays) -> None:
    assert_close(actual["recon"], expected["recon"])
    assert actual["frames"].dtype == np.uint8
    levels = (np.clip(expected["recon"], -1, 1) + 1) * 127.5
    assert (abs(actual["frames"] - levels) <= 0.5 + 127.5 * TOLERANCE).all()


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


def near_tie(z: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Cells in which a digit lies so near to the border between two levels that rounding may go either way."""
    n = np.array(levels, np.float32)
    half, offset = (n - 1) * 1.001 / 2, np.where(n % 2, 0, 0.5)
    b = np.tanh(z + np.arctanh(offset / half)) * half - offset
    return (abs(b - np.floor(b) - 0.5) < TOLERANCE).any(axis=-1)


def test_all_published_models_are_here() -> None:
    assert {path.stem for path in FILES} == set(PUBLISHED)
