"""What the tokens of a stream are: the JSON object of a stream header, checked."""

import re
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from reprlib import repr as shortened
from typing import Any

import numpy as np

from .coding import packed
from .fields import MAX_FRACTION, Fields, impossible, to_json

MAX_PAYLOAD_BYTES = 1 << 26
MAX_JSON_BYTES = 1 << 16
MAX_DIMENSION = 1 << 15
MAX_GRID_CELLS = 1 << 22
MAX_CODEBOOK = 1 << packed.MOST_BITS
MAX_TEXT_BYTES = 256
CODING = "packed"
FLOATS: dict[str, np.dtype[Any]] = {"float16": np.dtype("<f2"), "float32": np.dtype("<f4")}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, kw_only=True)
class TokenFormat:
    """Everything a stream header says. Making one that no stream can have raises a `StreamError`."""

    model: str
    """The tokenizer's name, for people."""
    tokenizer: str
    """The tokenizer's digest, 64 lower-case hexadecimal digits: what can decode the stream."""
    levels: tuple[int, ...] | None = None
    """FSQ: values of each digit of an index. `None` for continuous (KL) tokens."""
    channels: int | None = None
    """KL: floats a cell. `None` for FSQ."""
    token_type: str
    """KL: type of a value in the file. FSQ: type of a token in the plugin's `raw` buffers."""
    time_factor: int
    """Video frames that a latent frame stands for; a causal segment's first stands for 1."""
    space_factor: int
    """Pixels a side of a cell."""
    causal: bool
    width: int
    """The video's own size in pixels."""
    height: int
    framerate: Fraction = Fraction(0)
    """0 where frames come at no fixed rate."""
    pixel_aspect_ratio: Fraction = Fraction(1)
    colorimetry: str | None = None
    """GStreamer's text for it."""

    def __post_init__(self) -> None:
        self._check_tokens()
        self._check_picture()
        if not re.fullmatch("[0-9a-f]{64}", self.tokenizer):
            raise impossible("the tokenizer digest is not 64 lower-case hexadecimal digits")
        for text in (self.model, self.colorimetry or ""):
            if not _is_short_line(text):
                raise impossible("the model's name or the colorimetry is not a short line of text")
        if not _is_fraction(self.framerate, 0) or not _is_fraction(self.pixel_aspect_ratio, 1):
            raise impossible(f"a framerate of {self.framerate} at a pixel aspect ratio of {self.pixel_aspect_ratio}")

    def _check_tokens(self) -> None:
        if (self.levels is None) == (self.channels is None):
            raise impossible('an fsq stream has "levels", a kl stream has "channels", and none has both')
        if self.levels is not None:
            # Before their product: it could be of any length.
            few = 1 <= len(self.levels) <= packed.MOST_BITS
            within = all(2 <= level <= MAX_CODEBOOK for level in self.levels)
            if not few or not within or self.codebook_size > MAX_CODEBOOK:
                raise impossible(f"impossible FSQ levels {shortened(self.levels)}")
            if self.token_type != "uint32" and (self.token_type != "uint16" or self.codebook_size > 1 << 16):
                raise impossible(f"{shortened(self.token_type)} is no token type for {self.codebook_size} codes")
        if self.channels is not None:
            if not 1 <= self.channels <= 64:
                raise impossible(f"{self.channels} KL channels, allowed are 1 to 64")
            if self.token_type not in FLOATS:
                raise impossible(f"{shortened(self.token_type)} is no token type for KL: float16 and float32 are")

    def _check_picture(self) -> None:
        if not 1 <= self.width <= MAX_DIMENSION or not 1 <= self.height <= MAX_DIMENSION:
            raise impossible(f"video size {self.width}×{self.height}, allowed is 1 to {MAX_DIMENSION} a side")
        if not 1 <= self.time_factor <= 64 or not 1 <= self.space_factor <= 64:
            raise impossible(f"impossible compression {self.time_factor}×{self.space_factor}, allowed is 1 to 64")
        if self.grid_width * self.grid_height > MAX_GRID_CELLS:
            raise impossible(
                f"a latent frame of {self.grid_width}×{self.grid_height} cells, allowed are {MAX_GRID_CELLS}"
            )
        if self.payload_bytes(1) > MAX_PAYLOAD_BYTES:
            raise impossible(f"a latent frame of {self.payload_bytes(1)} bytes, allowed are {MAX_PAYLOAD_BYTES}")

    @property
    def regularizer(self) -> str:
        """`"fsq"`: tokens are indices. `"kl"`: tokens are floats."""
        return "kl" if self.levels is None else "fsq"

    @property
    def codebook_size(self) -> int:
        """Number of different FSQ indices; 0 for KL."""
        return 0 if self.levels is None else prod(self.levels)

    @property
    def grid_width(self) -> int:
        """Cells a row of a latent frame."""
        return -(-self.width // self.space_factor)

    @property
    def grid_height(self) -> int:
        return -(-self.height // self.space_factor)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of a latent frame: `(h, w)`, for KL `(h, w, channels)`."""
        grid = (self.grid_height, self.grid_width)
        return grid if self.channels is None else (*grid, self.channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the arrays that tokens are read into. FSQ: uint16, above 65,536 codes uint32."""
        if self.levels is None:
            return FLOATS[self.token_type].newbyteorder("=")
        return np.dtype(np.uint16 if self.codebook_size <= 1 << 16 else np.uint32)

    def payload_bytes(self, latent_frames: int) -> int:
        """Bytes that the tokens of that many latent frames take in a packet."""
        values: int = latent_frames * prod(self.latent_shape)
        if self.levels is None:
            return values * FLOATS[self.token_type].itemsize
        return packed.packed_bytes(values, packed.bits_for(self.codebook_size))

    def most_frames(self, latent_frames: int, segment_start: bool) -> int:
        """Video frames that a packet of that many latent frames stands for when all of them are real."""
        frames = latent_frames * self.time_factor
        return frames - self.time_factor + 1 if self.causal and segment_start else frames

    def to_fields(self) -> dict[str, object]:
        """What a stream header's JSON object says of the format."""
        fields = {
            "model": self.model,
            "tokenizer": self.tokenizer,
            "regularizer": self.regularizer,
            "levels": self.levels,
            "codebook-size": self.codebook_size or None,
            "channels": self.channels,
            "token-type": self.token_type,
            "coding": CODING,
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
        }
        return {key: value for key, value in fields.items() if value is not None}

    def to_json(self) -> bytes:
        """The JSON object of a stream header that says nothing but the format."""
        return to_json(self.to_fields())

    @classmethod
    def from_json(cls, data: bytes) -> "TokenFormat":
        """Reads the format from the JSON object of a stream header, whatever it may hold."""
        return cls.from_fields(Fields.of(data))

    @classmethod
    def from_fields(cls, fields: Fields) -> "TokenFormat":
        """Reads it from the JSON object of a stream header, whatever that may hold."""
        if (coding := fields.text("coding")) != CODING:
            raise impossible(f'unknown coding {shortened(coding)}, known is "{CODING}"')
        if (regularizer := fields.text("regularizer")) not in ("fsq", "kl"):
            raise impossible(f'unknown regularizer {shortened(regularizer)}, known are "fsq" and "kl"')
        levels = fields.integers("levels") if regularizer == "fsq" or fields.has("levels") else None
        channels = fields.integer("channels") if regularizer == "kl" or fields.has("channels") else None
        format = cls(
            model=fields.text("model"),
            tokenizer=fields.text("tokenizer"),
            levels=levels,
            channels=channels,
            token_type=fields.text("token-type") if levels is None or fields.has("token-type") else _smallest(levels),
            time_factor=fields.integer("time-factor"),
            space_factor=fields.integer("space-factor"),
            causal=fields.boolean("causal"),
            width=fields.integer("width"),
            height=fields.integer("height"),
            framerate=fields.fraction("framerate"),
            pixel_aspect_ratio=fields.fraction("pixel-aspect-ratio"),
            colorimetry=fields.text("colorimetry") if fields.has("colorimetry") else None,
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
    # Levels that make no possible codebook are found out later, so their product may be too long to compute.
    return "uint16" if len(levels) <= packed.MOST_BITS and prod(levels) <= 1 << 16 else "uint32"
