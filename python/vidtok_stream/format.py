"""What the tokens of a stream are: the JSON object of a stream header, checked."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import prod
from reprlib import repr as shortened
from typing import Any

import numpy as np

from .coding import Coding, PayloadLength, payload_length
from .fields import Fields, impossible, to_json
from .limits import (
    MAX_CHANNELS,
    MAX_CODEBOOK,
    MAX_DIMENSION,
    MAX_FRACTION,
    MAX_GRID_CELLS,
    MAX_PAYLOAD_BYTES,
    MAX_SPACE_FACTOR,
    MAX_TEXT_BYTES,
    MAX_TIME_FACTOR,
)
from .tokens import FLOATS

# Each digit of an index has two values or more.
MAX_LEVELS = MAX_CODEBOOK.bit_length() - 1
DIGEST = re.compile("[0-9a-f]{64}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class TokenFormat:
    """Everything a stream header says. Making one that no stream can have raises a `StreamError`."""

    model: str
    """The tokenizer's name, for people."""
    digest: str
    """The tokenizer's digest, 64 lower-case hexadecimal digits: decides what can decode the stream. Stream headers call
    it `tokenizer`."""
    levels: tuple[int, ...] | None = None
    """FSQ: values of each digit of an index. `None` for continuous (KL) tokens."""
    channels: int | None = None
    """KL: floats per cell. `None` for FSQ."""
    token_type: str
    """KL: type of a value in the file. FSQ: type of a token in the plugin's `raw` buffers."""
    coding: Coding = Coding.PACKED
    """How a payload lays out the tokens."""
    time_factor: int
    """Video frames per latent frame. A causal segment's first latent frame stands for one."""
    space_factor: int
    """Width and height of a cell in pixels."""
    causal: bool
    width: int
    """The video's own size in pixels."""
    height: int
    framerate: Fraction = Fraction(0)
    """0 where frames come at no fixed rate."""
    pixel_aspect_ratio: Fraction = Fraction(1)
    colorimetry: str | None = None
    """GStreamer's text for it."""
    pixels: str | None = None
    """What was done to the video's pixels in front of the network, for people."""

    def __post_init__(self) -> None:
        self._check_tokens()
        self._check_picture()
        if not DIGEST.fullmatch(self.digest):
            raise impossible("the tokenizer digest is not 64 lower-case hexadecimal digits")
        for text in (self.model, self.colorimetry or "", self.pixels or ""):
            if not _is_short_line(text):
                raise impossible('the model\'s name, the colorimetry or "pixels" is not a short line of text')
        if not _is_fraction(self.framerate, 0) or not _is_fraction(self.pixel_aspect_ratio, 1):
            raise impossible(f"a framerate of {self.framerate} at a pixel aspect ratio of {self.pixel_aspect_ratio}")

    def _check_tokens(self) -> None:
        if (self.levels is None) == (self.channels is None):
            raise impossible('an fsq stream has "levels", a kl stream has "channels", and none has both')
        if self.levels is not None:
            # First, as the product of hostile levels could be of any length.
            few = 1 <= len(self.levels) <= MAX_LEVELS
            within = all(2 <= level <= MAX_CODEBOOK for level in self.levels)
            if not few or not within or self.codebook_size > MAX_CODEBOOK:
                raise impossible(f"impossible FSQ levels {shortened(self.levels)}")
            if self.token_type != "uint32" and (self.token_type != "uint16" or self.codebook_size > 1 << 16):
                raise impossible(f"{shortened(self.token_type)} is not a token type for {self.codebook_size} codes")
        if self.channels is not None:
            if not 1 <= self.channels <= MAX_CHANNELS:
                raise impossible(f"{self.channels} KL channels, allowed are 1 to {MAX_CHANNELS}")
            if self.token_type not in FLOATS:
                raise impossible(f"{shortened(self.token_type)} is not a token type for KL: float16 and float32 are")

    def _check_picture(self) -> None:
        if not 1 <= self.width <= MAX_DIMENSION or not 1 <= self.height <= MAX_DIMENSION:
            raise impossible(f"video size {self.width}×{self.height}, allowed is 1 to {MAX_DIMENSION} per side")
        if not 1 <= self.time_factor <= MAX_TIME_FACTOR or not 1 <= self.space_factor <= MAX_SPACE_FACTOR:
            raise impossible(
                f"impossible compression {self.time_factor}×{self.space_factor},"
                f" allowed is 1 to {MAX_TIME_FACTOR} and 1 to {MAX_SPACE_FACTOR}"
            )
        if self.grid_width * self.grid_height > MAX_GRID_CELLS:
            raise impossible(
                f"a latent frame of {self.grid_width}×{self.grid_height} cells, allowed are {MAX_GRID_CELLS}"
            )
        if (length := self.payload_length(1).max) > MAX_PAYLOAD_BYTES:
            raise impossible(f"a latent frame of {length} bytes, allowed are {MAX_PAYLOAD_BYTES}")

    @property
    def regularizer(self) -> str:
        """`"fsq"`: tokens are indices. `"kl"`: tokens are floats."""
        return "kl" if self.levels is None else "fsq"

    @cached_property
    def codebook_size(self) -> int:
        """Number of different FSQ indices; 0 for KL."""
        return 0 if self.levels is None else prod(self.levels)

    @cached_property
    def grid_width(self) -> int:
        """Cells in a row of a latent frame."""
        return -(-self.width // self.space_factor)

    @cached_property
    def grid_height(self) -> int:
        """Rows of cells in a latent frame."""
        return -(-self.height // self.space_factor)

    @cached_property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of a latent frame: `(h, w)`, for KL `(h, w, channels)`."""
        grid = (self.grid_height, self.grid_width)
        return grid if self.channels is None else (*grid, self.channels)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type of the arrays that tokens are read into. FSQ: uint16, above 65,536 codes uint32."""
        if self.levels is None:
            return FLOATS[self.token_type].newbyteorder("=")
        return np.dtype(np.uint16 if self.codebook_size <= 1 << 16 else np.uint32)

    def payload_length(self, latent_frames: int) -> PayloadLength:
        """The length of a packet's payload of that many latent frames, as the coding has it."""
        return payload_length(self, latent_frames)

    def frames_of(self, latent_frames: int, segment_start: bool) -> int:
        """Video frames that latent frames in a row stand for, padding included.

        `segment_start`: the first of them starts a segment.
        """
        single = min(latent_frames, self.causal and segment_start)
        return (latent_frames - single) * self.time_factor + single

    def to_fields(self) -> dict[str, object]:
        """What a stream header's JSON object says of the format."""
        fields = {
            "model": self.model,
            "tokenizer": self.digest,
            "regularizer": self.regularizer,
            "levels": self.levels,
            "codebook-size": self.codebook_size or None,
            "channels": self.channels,
            "token-type": self.token_type,
            "coding": self.coding.value,
            "grid-width": self.grid_width,
            "grid-height": self.grid_height,
            "time-factor": self.time_factor,
            "space-factor": self.space_factor,
            "causal": self.causal,
            "width": self.width,
            "height": self.height,
            "framerate": _fraction_text(self.framerate),
            "pixel-aspect-ratio": _fraction_text(self.pixel_aspect_ratio),
            "colorimetry": self.colorimetry,
            "pixels": self.pixels,
        }
        return {key: value for key, value in fields.items() if value is not None}

    def to_json(self) -> bytes:
        """The JSON object of a stream header that says nothing but the format."""
        return to_json(self.to_fields())

    @classmethod
    def from_json(cls, data: bytes) -> "TokenFormat":
        """Reads the format from the JSON text of a stream header, which may hold anything."""
        return cls.from_fields(Fields.of(data))

    @classmethod
    def from_fields(cls, fields: Fields) -> "TokenFormat":
        """Reads the format from the JSON object of a stream header, which may hold anything."""
        coding = _coding(fields.text("coding"))
        if (regularizer := fields.text("regularizer")) not in ("fsq", "kl"):
            raise impossible(f'unknown regularizer {shortened(regularizer)}, known are "fsq" and "kl"')
        levels = fields.integers("levels") if regularizer == "fsq" or fields.has("levels") else None
        channels = fields.integer("channels") if regularizer == "kl" or fields.has("channels") else None
        format = cls(
            model=fields.text("model"),
            digest=fields.text("tokenizer"),
            levels=levels,
            channels=channels,
            token_type=fields.text("token-type") if levels is None or fields.has("token-type") else _smallest(levels),
            coding=coding,
            time_factor=fields.integer("time-factor"),
            space_factor=fields.integer("space-factor"),
            causal=fields.boolean("causal"),
            width=fields.integer("width"),
            height=fields.integer("height"),
            framerate=fields.fraction("framerate"),
            pixel_aspect_ratio=fields.fraction("pixel-aspect-ratio"),
            colorimetry=fields.text("colorimetry") if fields.has("colorimetry") else None,
            pixels=fields.text("pixels") if fields.has("pixels") else None,
        )
        if fields.has("codebook-size") and fields.integer("codebook-size") != format.codebook_size:
            raise impossible('"codebook-size" contradicts "levels"')
        grid = fields.integer("grid-width"), fields.integer("grid-height")
        if grid != (format.grid_width, format.grid_height):
            raise impossible(
                f"a grid of {grid[0]}×{grid[1]} does not belong to {format.width}×{format.height} pixels"
                f" at space factor {format.space_factor}"
            )
        return format


def _coding(name: str) -> Coding:
    try:
        return Coding(name)
    except ValueError:
        known = " and ".join(f'"{coding.value}"' for coding in Coding)
        raise impossible(f"unknown coding {shortened(name)}, known is {known}") from None


def _is_short_line(text: str) -> bool:
    try:
        return len(text.encode()) <= MAX_TEXT_BYTES and not CONTROL.search(text)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can spell
        return False


def _is_fraction(fraction: Fraction, least: int) -> bool:
    return (
        isinstance(fraction, Fraction)
        and least <= fraction.numerator <= MAX_FRACTION
        and fraction.denominator <= MAX_FRACTION
    )


def _fraction_text(fraction: Fraction) -> str:
    return f"{fraction.numerator}/{fraction.denominator}"


def _smallest(levels: tuple[int, ...]) -> str:
    # Impossible levels are found out later, so their product may be too long to compute.
    return "uint16" if len(levels) <= MAX_LEVELS and prod(levels) <= 1 << 16 else "uint32"
