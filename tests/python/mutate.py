"""Changes files at random, in the same way for the same seed.

`VIDTOK_FUZZ_RUNS` is how many changed files a test tries; unset, few enough for every day.
"""

import os
import random
from collections.abc import Iterator

EVERY_DAY = 300
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def runs() -> int:
    return int(os.environ.get("VIDTOK_FUZZ_RUNS", EVERY_DAY))


def mutations(seeds: list[bytes], seed: int = 1) -> Iterator[bytes]:
    """The seeds, and then as many changed ones as a test tries."""
    yield from seeds
    chance = random.Random(seed)
    for _ in range(runs()):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
            _change(data, chance, seeds)
        yield bytes(data)


def _change(data: bytearray, chance: random.Random, seeds: list[bytes]) -> None:
    at = chance.randrange(len(data) + 1)
    length = chance.choice((1, 1, 2, 4, 8, 32))
    match chance.randrange(7):
        case 0 if at < len(data):
            data[at] ^= 1 << chance.randrange(8)
        case 1 if at < len(data):
            data[at] = chance.randrange(256)
        case 2:
            size = chance.choice((1, 2, 4, 8))
            number = chance.choice(NUMBERS) % (1 << 8 * size)
            data[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))
        case 3:
            del data[at : at + length]
        case 4:
            data[at:at] = chance.randbytes(length)
        case 5:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[at:at] = other[start : start + length]
        case 6 if chance.randrange(4) == 0:
            del data[at:]
