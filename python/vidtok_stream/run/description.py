"""What a tokenizer is: the keys of `tokenizer.json` and of each graph's metadata, which are not trusted."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..errors import StreamError
from ..format import DIGEST, TokenFormat
from ..limits import MAX_SPACE_FACTOR, MAX_TIME_FACTOR
from .errors import ModelError

MAX_WINDOW = 256
_NUMBER = re.compile("[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Description:
    """A tokenizer's description, as gst-vidtok's docs/graphs.md has it."""

    name: str
    """The tokenizer's name, for people."""
    digest: str
    """Decides what can decode its tokens: 64 lower-case hexadecimal digits."""
    family: str
    levels: tuple[int, ...] | None
    """FSQ: values of each digit of an index. `None` for continuous (KL) tokens."""
    channels: int | None
    """KL: floats per cell. `None` for FSQ."""
    time_factor: int
    """Video frames per latent frame. A causal segment's first latent frame stands for one."""
    space_factor: int
    """Width and height of a cell in pixels."""
    causal: bool
    window: int
    """Frames of a window, which is a segment; 0 where causal."""
    decoder_delay: int
    """How many frames late the decoder's output is."""
    licence: str
    """The licence of the weights, an SPDX identifier."""

    @classmethod
    def read(cls, get: Callable[[str], str | None]) -> Description:
        """Reads the description. `get` gives the text of a key, lists with commas. A `ModelError` names a bad key."""

        def text(key: str) -> str:
            value = get(key)
            if value is None:
                raise ModelError(f'the key "{key}" is missing')
            return value

        def bad(key: str) -> ModelError:
            return ModelError(f'the key "{key}" has the impossible value "{text(key)[:40]}"')

        def numbers(key: str) -> tuple[int, ...]:
            parts = [part.strip() for part in text(key)[:4096].split(",")]
            if not all(map(_NUMBER.fullmatch, parts)):
                raise bad(key)
            return tuple(map(int, parts))

        def number(key: str, least: int, most: int) -> int:
            value = numbers(key)
            if len(value) != 1 or not least <= value[0] <= most:
                raise bad(key)
            return value[0]

        if text("format") != "1":
            raise ModelError(f"it has format {text('format')[:40]}, and format 1 is what this version reads: update it")
        if (regularizer := text("regularizer")) not in ("fsq", "kl"):
            raise bad("regularizer")
        if (causal := text("causal")) not in ("true", "false"):
            raise bad("causal")
        if not DIGEST.fullmatch(text("digest")):
            raise bad("digest")
        description = cls(
            name=text("name"),
            digest=text("digest"),
            family=text("family"),
            levels=numbers("levels") if regularizer == "fsq" else None,
            channels=number("channels", 1, 64) if regularizer == "kl" else None,
            time_factor=(factor := number("time-factor", 1, MAX_TIME_FACTOR)),
            space_factor=number("space-factor", 1, MAX_SPACE_FACTOR),
            causal=causal == "true",
            window=number("window", 0, 0) if causal == "true" else number("window", 1, MAX_WINDOW),
            decoder_delay=number("decoder-delay", 0, factor - 1 if causal == "true" else 0),
            licence=text("licence"),
        )
        if description.window % factor:
            raise bad("window")
        try:
            description.format(description.space_factor, description.space_factor)
        except StreamError as error:
            raise ModelError(str(error)) from error
        return description

    @property
    def step_frames(self) -> int:
        """Video frames that a step of the encoder takes, and a step of the decoder gives."""
        return self.window or self.time_factor

    @property
    def step_latents(self) -> int:
        """Latent frames that a step of the encoder gives, and a step of the decoder takes."""
        return self.window // self.time_factor or 1

    def frames_of(self, latents: int) -> int:
        """Video frames that a segment's first `latents` latent frames stand for."""
        return latents * self.time_factor - (self.time_factor - 1) * (self.causal and latents > 0)

    def segment_steps(self, key_interval: int) -> int:
        """Steps of a segment of at least `key_interval` frames; 0: it has no end."""
        if self.window or not key_interval:
            return 1 if self.window else 0
        return 1 + -(-(key_interval - 1) // self.time_factor)

    def padded(self, height: int, width: int) -> tuple[int, int]:
        """The size of a picture in whole cells."""
        side = self.space_factor
        return -(-height // side) * side, -(-width // side) * side

    def format(self, height: int, width: int, framerate: Fraction = Fraction(0)) -> TokenFormat:
        """The tokens' format for pictures of that size: KL as float32."""
        codes = 1
        for level in (self.levels or ())[:64]:
            codes *= level
        token_type = "float32" if self.levels is None else "uint16" if codes <= 1 << 16 else "uint32"
        return TokenFormat(
            model=self.name,
            digest=self.digest,
            levels=self.levels,
            channels=self.channels,
            token_type=token_type,
            time_factor=self.time_factor,
            space_factor=self.space_factor,
            causal=self.causal,
            width=width,
            height=height,
            framerate=framerate,
        )

    def real_frames(self, latents: int, frames: int) -> NDArray[np.int64]:
        """`[latents]`: how many of a segment's real `frames` each of its latent frames stands for."""
        ends = np.minimum([self.frames_of(count) for count in range(latents + 1)], frames)
        return np.diff(ends).astype(np.int64)
