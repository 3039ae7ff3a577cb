"""Every published model, exported and stepped as the elements step it, against the reference's outputs."""

from collections.abc import Iterator

import numpy as np
import pytest

from golden import FILES, PUBLISHED, Golden
from stepping import Tokenizer

TOLERANCE = 1e-4  # how closely a right implementation agrees, in z, mean, recon and beside rounding ties


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Golden, Tokenizer]]:
    golden = Golden(request.param)
    folder = tmp_path_factory.mktemp("tokenizer")
    golden.export(folder, test_outputs=True)
    height, width = golden.arrays["frames"].shape[1:3]
    yield golden, Tokenizer(folder, height, width)


def test_encoder(case: tuple[Golden, Tokenizer]) -> None:
    golden, tokenizer = case
    expected = golden.arrays
    encoded = tokenizer.encode(expected["frames"])
    if golden.configuration.levels:
        assert_close(encoded["z"], expected["z"])
        tie = near_tie(expected["z"], golden.configuration.levels)
        assert encoded["tokens"].dtype == np.int32
        assert encoded["tokens"].shape == expected["indices"].shape
        assert ((encoded["tokens"] == expected["indices"]) | tie).all()
        assert tie.mean() < 0.05  # or the line above says little
    else:
        assert_close(encoded["tokens"], expected["mean"])
        assert_close(encoded["logvar"], expected["logvar"])


def test_decoder(case: tuple[Golden, Tokenizer]) -> None:
    golden, tokenizer = case
    expected = golden.arrays
    decoded = tokenizer.decode(expected["indices" if golden.configuration.levels else "mean"])
    assert_close(decoded["recon"], expected["recon"])
    assert decoded["frames"].dtype == np.uint8
    levels = (np.clip(expected["recon"], -1, 1) + 1) * 127.5
    assert (abs(decoded["frames"] - levels) <= 0.5 + 127.5 * TOLERANCE).all()


def test_a_segment_ignores_what_was_before(case: tuple[Golden, Tokenizer]) -> None:
    """Also: the tokens of a clip's start do not depend on what follows, once causal."""
    golden, tokenizer = case
    frames = golden.arrays["frames"]
    whole = tokenizer.encode(frames)["tokens"]
    if tokenizer.facts["window"]:
        behind_another = tokenizer.encode(np.concatenate([frames[::-1], frames]))["tokens"]
        np.testing.assert_array_equal(behind_another[len(whole) :], whole)
        return
    count = 1 + 2 * tokenizer.facts["time-factor"]
    np.testing.assert_array_equal(tokenizer.encode(frames[:count])["tokens"], whole[:3])
    shown = tokenizer.decode(whole)["frames"]
    short = tokenizer.decode(whole[:3])["frames"]
    certain = count - tokenizer.facts["decoder-delay"]  # the rest is clamped at the end of the stream
    np.testing.assert_array_equal(short[:certain], shown[:certain])
    assert len(short) == count


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=TOLERANCE)


def near_tie(z: np.ndarray, levels: tuple[int, ...]) -> np.ndarray:
    """Cells in which a digit lies so near to the border between two that rounding may go either way."""
    n = np.array(levels, np.float32)
    half, offset = (n - 1) * 1.001 / 2, np.where(n % 2, 0, 0.5)
    b = np.tanh(z + np.arctanh(offset / half)) * half - offset
    return (abs(b - np.floor(b) - 0.5) < TOLERANCE).any(axis=-1)


def test_all_published_models_are_here() -> None:
    assert {path.stem for path in FILES} == set(PUBLISHED)
