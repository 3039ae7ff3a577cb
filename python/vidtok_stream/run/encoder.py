"""Frames to tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..format import TokenFormat
from ..stream import Stream
from ..tokens import Tokens
from .description import Description
from .errors import ModelError
from .model import Model, Precision
from .runner import Runner
from .session import Array, Provider, Session


class Encoded(NamedTuple):
    """What a step of the encoder makes: one latent frame, or those of a window."""

    tokens: Tokens
    """`[n, h, w]` FSQ indices (uint16, above 65,536 codes uint32), or `[n, h, w, channels]` KL means (float32)."""
    real_frames: int
    """Video frames that they stand for. The others that they could stand for repeat the last."""
    segment_start: bool
    """They decode without any tokens before them."""


class Encoder(Runner):
    """Makes the tokens that gst-vidtok's `vidtokenc` makes of RGB pictures.

    `model`: a tokenizer's folder; by default the tokenizer that comes with the package. `providers`: names of ONNX
    Runtime's execution providers, or pairs of a name and its options; by default the CPU. `threads`: within an
    operator, 0 for one per core. `key_interval`: frames from one segment start to the next, rounded up to whole groups;
    0 for one segment.
    """

    def __init__(
        self,
        model: Model = None,
        *,
        key_interval: int = 0,
        providers: Sequence[Provider] | None = None,
        precision: Precision | None = None,
        threads: int = 0,
    ) -> None:
        if key_interval < 0:
            raise ValueError(f"key_interval is a number of frames, not {key_interval}")
        super().__init__("encoder", model, providers, precision, threads)
        self.key_interval = key_interval

    def encode(self, frames: ArrayLike) -> Tokens:
        """The tokens of a whole clip: `[t, h, w]`, or `[t, h, w, channels]` floats.

        `frames`: `[t, height, width, 3]` RGB, uint8, or floats from 0 to 255. Where a graph takes bytes, floats are
        rounded.
        """
        return self._clip(_pictures(frames))[0]

    def encode_stream(
        self, frames: ArrayLike, framerate: Fraction | int = 0, *, pts: ArrayLike | None = None
    ) -> Stream:
        """The same with segment starts and times, for `vidtok_stream.write`. `pts` `[t]`: in nanoseconds."""
        pictures = _pictures(frames)
        tokens, steps = self._clip(pictures)
        starts, real = [], []
        for at, count, frames_of_step, start in steps:
            if start:
                starts.append(at)
            real.append(_shares(self.description, count, frames_of_step, start))
        return Stream.of(
            self.format(pictures.shape[1], pictures.shape[2], framerate),
            tokens,
            segment_starts=starts,
            real_frames=np.concatenate(real),
            pts=pts,
        )

    def stream(self, frames: Iterable[ArrayLike]) -> Iterator[Encoded]:
        """Tokens step by step, of frames `[height, width, 3]` that may come for ever; holds one step's frames."""
        stream = self.start()
        for frame in frames:
            yield from stream.push(frame)
        yield from stream.flush()

    def start(self) -> EncoderStream:
        """A stream to push frames into. Streams of one encoder do not know of each other."""
        return EncoderStream(self)

    def format(self, height: int, width: int, framerate: Fraction | int = 0) -> TokenFormat:
        """The tokens' format for pictures of that size, to write them."""
        return self.description.format(height, width, Fraction(framerate))

    def _clip(self, pictures: Array) -> tuple[Tokens, list[tuple[int, int, int, bool]]]:
        if not len(pictures):
            raise ModelError("a clip without frames has no tokens")
        stream = self.start()
        made = [encoded for picture in pictures for encoded in stream.push(picture)]
        made += stream.flush()
        steps, at = [], 0
        for encoded in made:
            steps.append((at, len(encoded.tokens), encoded.real_frames, encoded.segment_start))
            at += len(encoded.tokens)
        return np.concatenate([encoded.tokens for encoded in made]), steps


class EncoderStream:
    """Frames of one video, which become tokens as soon as a group of them is full. Holds one group and the state."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._description = encoder.description
        self._segment_steps = encoder.description.segment_steps(encoder.key_interval)
        self._size: tuple[int, int] | None = None
        self._session: Session | None = None
        self._state: dict[str, Array] = {}
        self._group = np.empty(0)
        self._filled = 0
        # Steps of the current segment.
        self._steps = 0

    def push(self, frame: ArrayLike) -> list[Encoded]:
        """Adds a frame `[height, width, 3]`; returns what it completes: nothing, or one step's tokens.

        All frames up to a `flush` have one size.
        """
        session = self._prepare(picture := _pictures(np.asarray(frame)[None])[0])
        height, width = picture.shape[:2]
        if not session.takes_floats and picture.dtype != np.uint8:
            picture = np.rint(picture).clip(0, 255)
        rows = self._group[self._filled]
        rows[:height, :width] = picture
        rows[:height, width:] = rows[:height, width - 1 : width]
        rows[height:] = rows[height - 1]
        self._filled += 1
        alone = self._description.causal and self._steps == 0
        return [self._run(self._filled)] if alone or self._filled == len(self._group) else []

    def flush(self) -> list[Encoded]:
        """Ends the segment; returns what was not full yet. The next frame starts a segment, of any size."""
        made = [self._run(self._filled)] if self._filled else []
        self._steps, self._size = 0, None
        return made

    def _prepare(self, picture: Array) -> Session:
        size = picture.shape[:2]
        if self._session is None or self._size is None:
            self._session = self._encoder.session(*size)
            self._size = size
            padded = self._description.padded(*size)
            kind = np.float32 if self._session.takes_floats else np.uint8
            self._group = np.zeros((self._description.step_frames, *padded, 3), kind)
            self._state = self._session.start()
        elif size != self._size:
            raise ModelError(
                f"a frame of {size[1]}×{size[0]} pixels follows those of {self._size[1]}×{self._size[0]}: flush() first"
            )
        return self._session

    def _run(self, real: int) -> Encoded:
        assert self._session, "a frame was pushed"
        self._group[real:] = self._group[real - 1]
        start = self._steps == 0
        tokens, self._state = self._session.step(self._group, self._state, first=start)
        self._steps, self._filled = self._steps + 1, 0
        if self._steps == self._segment_steps:
            self._steps = 0
        return Encoded(_checked(tokens, self._description), real, start)


def _checked(tokens: Array, description: Description) -> Tokens:
    if description.levels is None:
        if not np.isfinite(tokens).all():
            raise ModelError(f'the encoder of "{description.name}" gave a token that is not a finite number')
        return tokens
    codes = description.format(1, 1).codebook_size
    if int(tokens.min()) < 0 or int(tokens.max()) >= codes:
        raise ModelError(f'the encoder of "{description.name}" gave an index that is not within 0 to {codes - 1}')
    return tokens.astype(np.uint16 if codes <= 1 << 16 else np.uint32)


def _shares(description: Description, latents: int, frames: int, start: bool) -> NDArray[np.int64]:
    """How many of a step's real frames each of its latent frames stands for."""
    if start or not description.causal:
        return description.real_frames(latents, frames)
    return np.array([frames], np.int64)


def _pictures(frames: ArrayLike) -> Array:
    """Checked frames `[t, height, width, 3]`: uint8 or float32."""
    pictures = np.asarray(frames)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
        raise ModelError(f"frames of shape {list(pictures.shape)}, wanted is [t, height, width, 3]")
    if pictures.dtype == np.uint8:
        return pictures
    if not np.issubdtype(pictures.dtype, np.floating):
        raise ModelError(f"frames of type {pictures.dtype}: wanted are uint8, or floats from 0 to 255")
    if not np.isfinite(pictures).all():
        raise ModelError("a frame has a value that is not a finite number")
    return pictures.astype(np.float32, copy=False)
