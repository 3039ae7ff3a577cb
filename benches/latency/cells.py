"""A number in a picture, as black and white cells that survive a tokenizer.

A tokenizer with a time factor does not keep what changes in every frame, so that a plain binary number does not come
back. Here the lowest part of the number is a Johnson counter (its ones run in from one side, then its zeros), and the
rest is Gray code: one cell changes from one number to the next, and none changes twice within four frames. Each bit has
a second cell with its complement: where the two are alike, the number cannot be read.
"""

from collections.abc import Sequence

CELL = 32  # pixels; a token of the built-in tokenizer stands for 8×8
COLUMNS = 8
COUNTER = 4  # cells of the Johnson counter
GRAY = 12  # bits of the Gray code
BITS = COUNTER + GRAY
STATES = 2 * COUNTER
NUMBERS = STATES << GRAY
WIDTH, HEIGHT = COLUMNS * CELL, 2 * BITS // COLUMNS * CELL
# Levels that a cell and its complement have to differ by.
CONTRAST = 32


def bits(number: int) -> list[int]:
    """Of 0 to NUMBERS - 1."""
    high, low = divmod(number % NUMBERS, STATES)
    gray = high ^ (high >> 1)
    return [int(cell < low <= cell + COUNTER) for cell in range(COUNTER)] + [gray >> bit & 1 for bit in range(GRAY)]


def number(found: Sequence[int]) -> int | None:
    """The number of such bits. None if the Johnson counter has no such state."""
    counter, gray = list(found[:COUNTER]), sum(bit << place for place, bit in enumerate(found[COUNTER:]))
    low = next((low for low in range(STATES) if bits(low)[:COUNTER] == counter), None)
    high = gray
    while gray := gray >> 1:
        high ^= gray
    return None if low is None else high * STATES + low


def draw(rgb: bytes, width: int, value: int) -> bytes:
    """The picture with the number in its upper left corner. `rgb`: 3 bytes a pixel, without row padding."""
    picture, found = bytearray(rgb), bits(value)
    cells = found + [1 - bit for bit in found]
    for row in range(len(cells) // COLUMNS):
        line = b"".join((b"\xff" if cell else b"\0") * 3 * CELL for cell in cells[row * COLUMNS : (row + 1) * COLUMNS])
        for y in range(row * CELL, (row + 1) * CELL):
            picture[y * width * 3 : y * width * 3 + len(line)] = line
    return bytes(picture)


def read(data: bytes, stride: int, pixel: int) -> int | None:
    """The number in a picture, if it is clear. `data`: the green or luma plane's first sample comes first, rows are
    `stride` bytes apart, pixels `pixel` bytes."""
    levels = [level(data, stride, pixel, cell) for cell in range(2 * BITS)]
    contrasts = [one - complement for one, complement in zip(levels[:BITS], levels[BITS:], strict=True)]
    if min(map(abs, contrasts)) < CONTRAST:
        return None
    return number([int(contrast > 0) for contrast in contrasts])


def level(data: bytes, stride: int, pixel: int, cell: int) -> float:
    """The mean of every fourth row of the cell's middle."""
    row, column = divmod(cell, COLUMNS)
    margin = CELL // 4
    left, right = (column * CELL + margin) * pixel, ((column + 1) * CELL - margin) * pixel
    rows = range(row * CELL + margin, (row + 1) * CELL - margin, 4)
    samples = [sum(data[y * stride + left : y * stride + right : pixel]) for y in rows]
    return sum(samples) / (len(samples) * (CELL - 2 * margin))
