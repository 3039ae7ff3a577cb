"""Where panes, captions and figures are. Arithmetic only; numbers are pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Panes stay side by side up to this many; more of them may need a second row.
SIDE_BY_SIDE = 3


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Layout:
    """Width and height are even, as video encoders want it."""

    width: int
    height: int
    unit: float
    """What a pixel is on a canvas 1280 pixels wide: letters and margins grow with it."""
    panes: tuple[Box, ...]
    status: Box


def unit(width: int) -> float:
    return max(width / 1280, 0.7)


def margin(width: int) -> float:
    return round(24 * unit(width))


def caption_height(width: int) -> float:
    return round(34 * unit(width))


def rows_of(weights: Sequence[float], width: int) -> list[int]:
    """How many figures are in each row of the status line. A figure of weight 1 needs 104 units."""
    room = (width - 2 * margin(width)) / (104 * unit(width))
    rows, used = [0], 0.0
    for weight in weights:
        if rows[-1] and used + weight > room:
            rows.append(0)
            used = 0.0
        rows[-1] += 1
        used += weight
    return rows


def largest(panes: int, width: int) -> tuple[int, int]:
    """No pane is larger than this, whatever the shape of the pictures."""
    # More of them may stand in one column, if they are very wide.
    columns = panes if panes <= SIDE_BY_SIDE else 1
    each = (width - (columns + 1) * margin(width)) / columns
    # Portrait pictures may be as high as the canvas is wide; more would not fit on screens.
    return max(int(each), 16), max(int(width * 0.75), 16)


def arrange(panes: int, aspect: float, weights: Sequence[float], width: int, height: int | None = None) -> Layout:
    """`panes` pictures of this aspect (width by height) on a canvas `width` wide, and a status line under them.

    `weights`: how wide the figures of the status line are, relative to each other. `height`: of the canvas; None: as
    high as it needs to be.
    """
    width = max(width // 2 * 2, 320)
    gap, caption = margin(width), caption_height(width)
    aspect = min(max(aspect, 0.05), 20.0)
    status = len(rows_of(weights, width)) * round(56 * unit(width))
    below = status + gap // 2
    # For captions and panes, with a margin under each row and one on top.
    room = width * 0.75 if height is None else height - below - gap

    def size(columns: int) -> tuple[float, float]:
        across = (width - (columns + 1) * gap) / columns
        rows = math.ceil(panes / columns)
        high = max(min(across / aspect, room / rows - caption - gap), 4.0)
        return min(across, high * aspect), high

    candidates = [panes] if panes <= SIDE_BY_SIDE else range(1, panes + 1)
    columns = max(candidates, key=lambda count: math.prod(size(count)))
    across, high = (int(length) for length in size(columns))
    used = math.ceil(panes / columns) * (caption + high + gap)
    # What is left over, rows and single panes have on both sides.
    spare = 0 if height is None else max(height - below - gap - used, 0)
    boxes = []
    y = gap + spare // 2
    for first in range(0, panes, columns):
        count = min(columns, panes - first)
        x = (width - count * across - (count - 1) * gap) // 2
        boxes += [Box(x + at * (across + gap), y + caption, across, high) for at in range(count)]
        y += caption + high + gap
    top = gap + used + spare
    return Layout(
        width=width,
        height=height or int(top + below + 1) // 2 * 2,
        unit=unit(width),
        panes=tuple(boxes),
        status=Box(gap, top, width - 2 * gap, status),
    )


def inside(box: Box, width: float, height: float) -> Box:
    """The largest place in `box` for a picture of this shape, in the middle."""
    scale = min(box.width / width, box.height / height)
    across, high = width * scale, height * scale
    return Box(box.x + (box.width - across) / 2, box.y + (box.height - high) / 2, across, high)
