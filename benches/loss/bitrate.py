"""Finds the bit rate with which an encoder makes a wanted number of bytes."""

from collections.abc import Callable

# As a share of the wanted bytes.
ACCURACY = 0.01
TRIALS = 8


def matching(wanted: int, guess: int, size: Callable[[int], int]) -> int:
    """A bit rate with which the clip has `wanted` bytes, or the one of all tried that comes nearest."""
    tried: dict[int, int] = {}
    for _ in range(TRIALS):
        tried[guess] = size(guess)
        nearest = min(tried, key=lambda rate: abs(tried[rate] - wanted))
        if abs(tried[nearest] - wanted) <= ACCURACY * wanted:
            break
        guess = max(1, round(guess * wanted / tried[guess]))
        if guess in tried:
            break
    return nearest
