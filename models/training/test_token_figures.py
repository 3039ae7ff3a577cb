"""Tests of the figures of tokens. They need no PyTorch."""

import math

import numpy as np
import pytest

import token_figures

LEVELS = (8, 8, 8, 8, 8)


def test_bits_of_random_and_of_constant_tokens() -> None:
    tokens = np.random.default_rng(1).integers(0, 8**5, (64, 32, 32), np.int32)
    # Nothing can be saved; LZMA stores what it cannot compress, in 16 bits.
    assert 15 <= token_figures.xz_bits(tokens) < 16.2
    # Learning 8 * 9 counts per channel costs some bits.
    assert 15 <= token_figures.adaptive_bits(tokens, LEVELS) < 15.1
    constant = np.full_like(tokens, 12345)
    assert token_figures.xz_bits(constant) < 0.1
    assert token_figures.adaptive_bits(constant, LEVELS) < 0.1


def test_still_tokens_cost_less_over_time() -> None:
    first = np.random.default_rng(2).integers(0, 8**5, (1, 32, 32), np.int32)
    tokens = np.repeat(first, 16, 0)
    # 15 bits for the first of 16, and little for the others, which repeat it.
    assert token_figures.adaptive_bits(tokens, LEVELS) == pytest.approx(15 / 16, abs=0.25)
    assert token_figures.xz_bits(tokens) < 3


def test_code_length_is_that_of_coding_symbol_by_symbol() -> None:
    sequence = [0, 2, 2, 1, 2]
    seen, bits = [0, 0, 0], 0.0
    for symbol in sequence:
        bits -= math.log2((seen[symbol] + 0.5) / (sum(seen) + 1.5))
        seen[symbol] += 1
    assert token_figures.code_length(np.array(seen)) == pytest.approx(bits)


def test_changes_count_where_the_picture_stays() -> None:
    random = np.random.default_rng(3)
    video = np.zeros((17, 16, 24, 3), np.uint8)  # a first frame and 4 groups, 2 x 3 cells
    video[:, :, 8:16] = 100
    video[:, 8:, 16:] = random.integers(0, 256, (17, 8, 8, 3), np.uint8)
    tokens = np.zeros((5, 2, 3), np.int32)
    tokens[2, 0, 0] = 1  # a still cell, there and back: 2 changes among 5 cells and 3 steps
    tokens[:, 1, 2] = np.arange(5)  # not still
    found = token_figures.changes(video, tokens)
    assert found["still-share"] == pytest.approx(5 / 6)
    assert found["still-changed"] == pytest.approx(2 / 15)
    # No cell is like its neighbour on the right.
    assert found["even-share"] == 0 and found["even-changed"] is None


def test_even_cells_are_compared_with_their_neighbours() -> None:
    video = np.full((9, 8, 24, 3), 50, np.uint8)
    video[5:] = 200
    tokens = np.array([[[7, 7, 7]], [[1, 1, 2]], [[3, 3, 3]]], np.int32)
    found = token_figures.changes(video, tokens)
    assert found == {"still-share": 0, "still-changed": None, "even-share": 1, "even-changed": pytest.approx(1 / 4)}


def test_one_frame_has_no_changes() -> None:
    found = token_figures.changes(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 1, 1), np.int32))
    assert set(found.values()) == {None}
