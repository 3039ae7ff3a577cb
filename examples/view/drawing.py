"""Draws the viewer's picture with cairo."""

from collections.abc import Sequence
from dataclasses import dataclass

import cairo
import numpy as np
from numpy.typing import NDArray

from layout import Box, Layout, inside, rows_of

Colour = tuple[float, float, float]


def _colour(text: str) -> Colour:
    return tuple(int(text[at : at + 2], 16) / 255 for at in (0, 2, 4))  # type: ignore[return-value]


BACKGROUND, PANE, RULE = _colour("14161a"), _colour("1d2026"), _colour("2b2f37")
TEXT, QUIET, ALARM = _colour("eceff4"), _colour("8b93a1"), _colour("ffb454")
FONT = "sans-serif"


@dataclass(frozen=True)
class Picture:
    """Pixels `[height, width, 4]` as blue, green, red and one byte that does not count."""

    pixels: NDArray[np.uint8]
    shown: tuple[float, float] | None = None
    """Width and height of the part that is shown; none: all. A map's last cells may reach over the video's edge."""
    cells: bool = False
    """Enlarged by nearest, so that cells stay squares."""


@dataclass(frozen=True)
class Pane:
    title: str
    detail: str = ""
    picture: Picture | None = None
    alarm: bool = False
    """The detail is a warning."""


@dataclass(frozen=True)
class Figure:
    label: str
    value: str
    weight: float = 1.0
    alarm: bool = False


class Canvas:
    """One picture, drawn over and over."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._surface = cairo.ImageSurface(cairo.FORMAT_RGB24, layout.width, layout.height)
        self._context = cairo.Context(self._surface)

    def draw(self, panes: Sequence[Pane], figures: Sequence[Figure], message: str | None = None) -> None:
        self._context.set_source_rgb(*BACKGROUND)
        self._context.paint()
        for pane, box in zip(panes, self.layout.panes, strict=True):
            self._pane(pane, box)
        self._status(figures)
        if message:
            self._message(message)
        self._surface.flush()

    def bytes(self) -> bytes:
        """BGRx, rows without padding: a pixel is 4 bytes, so cairo adds none."""
        return bytes(self._surface.get_data())

    def write(self, path: str) -> None:
        """Raises an `OSError` where that cannot be done."""
        with open(path, "wb") as file:
            self._surface.write_to_png(file)

    def _font(self, size: float, bold: bool = False) -> None:
        weight = cairo.FONT_WEIGHT_BOLD if bold else cairo.FONT_WEIGHT_NORMAL
        self._context.select_font_face(FONT, cairo.FONT_SLANT_NORMAL, weight)
        self._context.set_font_size(size * self.layout.unit)

    def _width(self, text: str) -> float:
        return self._context.text_extents(text).x_advance

    def _text(self, text: str, x: float, y: float, colour: Colour, room: float) -> float:
        """Writes as much of `text` as there is room for. Returns its width."""
        shown = text
        while shown and self._width(shown) > room:
            shown = shown.removesuffix("…")[:-1].rstrip()
            shown = f"{shown}…" if shown else ""
        self._context.set_source_rgb(*colour)
        self._context.move_to(x, y)
        self._context.show_text(shown)
        return self._width(shown)

    def _pane(self, pane: Pane, box: Box) -> None:
        unit, baseline = self.layout.unit, box.y - 11 * self.layout.unit
        self._font(16, bold=True)
        used = self._text(pane.title, box.x, baseline, TEXT, box.width) + 10 * unit
        self._font(13)
        self._text(pane.detail, box.x + used, baseline, ALARM if pane.alarm else QUIET, box.width - used)
        context = self._context
        context.rectangle(box.x, box.y, box.width, box.height)
        context.set_source_rgb(*PANE)
        context.fill()
        if pane.picture:
            self._picture(pane.picture, box)

    def _picture(self, picture: Picture, box: Box) -> None:
        height, width = picture.pixels.shape[:2]
        shown = picture.shown or (width, height)
        place = inside(box, *shown)
        surface = cairo.ImageSurface.create_for_data(
            # Cairo wants memory that it may write to.
            np.array(picture.pixels, order="C"),
            cairo.FORMAT_RGB24,
            width,
            height,
        )
        context = self._context
        context.save()
        context.rectangle(place.x, place.y, place.width, place.height)
        context.clip()
        context.translate(place.x, place.y)
        context.scale(place.width / shown[0], place.height / shown[1])
        context.set_source_surface(surface, 0, 0)
        pattern = context.get_source()
        pattern.set_filter(cairo.FILTER_NEAREST if picture.cells else cairo.FILTER_GOOD)
        # Else the edge fades into the background.
        pattern.set_extend(cairo.EXTEND_PAD)
        context.paint()
        context.restore()

    def _status(self, figures: Sequence[Figure]) -> None:
        box, unit = self.layout.status, self.layout.unit
        left = list(figures)
        for row, count in enumerate(rows_of([figure.weight for figure in figures], self.layout.width)):
            y = box.y + row * 56 * unit
            self._context.set_source_rgb(*RULE)
            self._context.rectangle(box.x, round(y), box.width, 1)
            self._context.fill()
            here, left = left[:count], left[count:]
            each = box.width / max(sum(figure.weight for figure in here), 1)
            x = box.x
            for figure in here:
                room = each * figure.weight - 8 * unit
                self._font(12)
                self._text(figure.label, x, y + 20 * unit, QUIET, room)
                self._font(16)
                self._text(figure.value, x, y + 41 * unit, ALARM if figure.alarm else TEXT, room)
                x += each * figure.weight

    def _message(self, message: str) -> None:
        """In the middle of the panes, over as many lines as it needs."""
        unit, context = self.layout.unit, self._context
        self._font(17)
        room = self.layout.width * 0.7
        lines: list[str] = []
        for word in message.split():
            if lines and self._width(f"{lines[-1]} {word}") <= room:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        step, pad = 25 * unit, 20 * unit
        width = min(max(self._width(line) for line in lines), room) + 2 * pad
        height = len(lines) * step + 1.4 * pad
        x, y = (self.layout.width - width) / 2, (self.layout.status.y - height) / 2
        context.rectangle(x, y, width, height)
        context.set_source_rgba(*BACKGROUND, 0.92)
        context.fill_preserve()
        context.set_source_rgb(*ALARM)
        context.set_line_width(1.5 * unit)
        context.stroke()
        for at, line in enumerate(lines):
            self._text(line, x + pad, y + pad * 0.7 + (at + 0.75) * step, TEXT, room)
