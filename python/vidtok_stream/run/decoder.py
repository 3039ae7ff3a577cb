"""Tokens to frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..packet import Packet
from ..stream import Stream
from .description import Description
from .errors import ModelError
from .model import Model, Precision
from .runner import Runner
from .session import Array, Provider, Session, State

Frames = NDArray[np.uint8]


class Decoder(Runner):
    """Makes the pictures that gst-vidtok's `vidtokdec` makes of tokens. The arguments are those of `Encoder`."""

    def __init__(
        self,
        model: Model = None,
        *,
        providers: Sequence[Provider] | None = None,
        precision: Precision | None = None,
        threads: int = 0,
    ) -> None:
        super().__init__("decoder", model, providers, precision, threads)

    def decode(
        self,
        tokens: ArrayLike | Stream,
        *,
        size: tuple[int, int] | None = None,
        segment_starts: Sequence[int] = (0,),
        frames: int | None = None,
    ) -> Frames:
        """The frames of a whole clip: `[t, height, width, 3]` RGB.

        `tokens`: `[t, h, w]` indices, `[t, h, w, channels]` floats, or what `vidtok_stream.read` returns, which says
        the rest. `size`: height and width of the video; by default whole cells. `segment_starts`: latent frames that
        decode without those before them. `frames`: how many are real; by default all that the tokens stand for.
        """
        if isinstance(tokens, Stream):
            return self._decode_stream(tokens)
        array = self._tokens(tokens)
        cuts = sorted({0, *segment_starts, len(array)})
        if cuts[0] < 0 or cuts[-1] > len(array):
            raise ModelError(f"a segment starts at latent frame {cuts[0] or cuts[-1]} of {len(array)}")
        counts = [self.description.frames_of(end - begin) for begin, end in pairwise(cuts)]
        left = sum(counts) if frames is None else frames
        stream = DecoderStream(self, size)
        shown = []
        for (begin, end), count in zip(pairwise(cuts), counts, strict=True):
            real = min(count, left)
            left -= real
            if real:
                shown += [stream.push(array[begin:end], segment_start=True, real_frames=real), stream.flush()]
        if left:
            raise ModelError(f"{frames} frames are wanted, the tokens stand for {sum(counts)}")
        height, width = size or self._pixels(array)
        return np.concatenate([np.empty((0, height, width, 3), np.uint8), *shown])

    def stream(self, packets: Iterable[Packet]) -> Iterator[Frames]:
        """Frames `[n, height, width, 3]` of packets as they come, which may be for ever. A join starts anew."""
        stream: DecoderStream | None = None
        for packet in packets:
            self._check_digest(packet.format.digest, packet.format.model)
            size = (packet.format.height, packet.format.width)
            if stream is None or stream.size != size:
                if stream:
                    yield stream.flush()
                stream = self.start(size)
            if packet.uncertain:
                raise ModelError(f"something is missing in front of the packet at byte {packet.byte_position}")
            yield stream.push(packet.tokens, segment_start=packet.segment_start, real_frames=packet.real_frames)
            if packet.segment_end or packet.end_of_stream:
                yield stream.flush()
        if stream:
            yield stream.flush()

    def start(self, size: tuple[int, int] | None = None) -> DecoderStream:
        """A stream to push tokens into. Streams of one decoder do not know of each other."""
        return DecoderStream(self, size)

    def _decode_stream(self, stream: Stream) -> Frames:
        self._check_digest(stream.format.digest, stream.format.model)
        size = (stream.format.height, stream.format.width)
        run = self.start(size)
        shown = [np.empty((0, *size, 3), np.uint8)]
        if stream.uncertain.any():
            raise ModelError('tokens in front of some are missing: read with on_loss="wait", which leaves those out')
        cuts = sorted({0, *stream.segment_starts.tolist(), len(stream.tokens)})
        for begin, end in pairwise(cuts):
            real = int(stream.real_frames[begin:end].sum())
            shown += [run.push(stream.tokens[begin:end], segment_start=True, real_frames=real), run.flush()]
        return np.concatenate(shown)

    def _check_digest(self, digest: str, model: str) -> None:
        if digest != self.description.digest:
            raise ModelError(
                f'the tokens are of "{model}" (digest {digest[:12]}…), the decoder of "{self.description.name}"'
                f" (digest {self.description.digest[:12]}…)"
            )

    def _tokens(self, tokens: ArrayLike) -> Array:
        """Checked tokens, as the graph takes them."""
        array = np.asarray(tokens)
        description = self.description
        floats = description.levels is None
        wanted = "[t, h, w, channels]" if floats else "[t, h, w]"
        channels = array.shape[3:] == (description.channels,) if floats else True
        if array.ndim != (4 if floats else 3) or not channels or 0 in array.shape:
            raise ModelError(f"tokens of shape {list(array.shape)}, wanted is {wanted}")
        if floats:
            if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all():
                raise ModelError("the tokens must be floats, and finite")
            return array.astype(np.float32, copy=False)
        codes = description.format(1, 1).codebook_size
        if not np.issubdtype(array.dtype, np.integer) or int(array.min()) < 0 or int(array.max()) >= codes:
            raise ModelError(f"the tokens must be whole numbers from 0 to {codes - 1}")
        return array.astype(np.int32)

    def _pixels(self, tokens: Array) -> tuple[int, int]:
        side = self.description.space_factor
        return tokens.shape[1] * side, tokens.shape[2] * side


class DecoderStream:
    """Tokens of one video, which become frames as they come. Holds the state, and no frame but those it returns."""

    def __init__(self, decoder: Decoder, size: tuple[int, int] | None) -> None:
        self.size = size
        """Height and width that frames are cropped to; by default whole cells."""
        self._decoder = decoder
        self._cells: tuple[int, int] = (0, 0)
        self._session: Session | None = None
        self._state: State = {}
        # The tokens of the latest step, which a flush takes again.
        self._latest: Array | None = None
        self._shown = _Shown(decoder.description)

    def push(self, tokens: ArrayLike, *, segment_start: bool = False, real_frames: int | None = None) -> Frames:
        """Adds latent frames `[n, h, w]` or `[n, h, w, channels]`; returns the frames that they complete.

        A segment start ends the segment before it, as `flush` does. `real_frames`: how many of the frames that they
        stand for are shown; by default all.
        """
        array = self._decoder._tokens(tokens)
        if len(array) % (step := self._decoder.description.step_latents):
            raise ModelError(f"{len(array)} latent frames, a window has {step}")
        cells = self._decoder._pixels(array)
        if self.size and self._decoder.description.padded(*self.size) != cells:
            height, width = self.size
            raise ModelError(
                f"tokens of {array.shape[2]}×{array.shape[1]} cells for a video of {width}×{height} pixels"
            )
        if self._latest is not None and cells != self._cells:
            raise ModelError("the tokens have another size than those before: flush() first")
        shown = [self.flush()] if segment_start and self._latest is not None else []
        if self._latest is None:
            self._session = self._decoder.session(*cells)
            self._cells, self._state = cells, self._session.start()
        self._shown.add(len(array), real_frames)
        shown += [self._step(array[at : at + step]) for at in range(0, len(array), step)]
        return np.concatenate(shown)

    def flush(self) -> Frames:
        """Ends the segment; returns the frames that were late. The next tokens start a segment."""
        owed = self._latest is not None and self._shown.left > 0
        shown = self._step(self._latest, flush=True) if owed and self._latest is not None else self._none()
        self._latest, self._shown = None, _Shown(self._decoder.description)
        return shown

    def _step(self, tokens: Array, flush: bool = False) -> Frames:
        if not self._shown.left:
            # Nothing behind the last real frame is shown.
            self._latest = tokens
            return self._none()
        assert self._session, "the first push opens it"
        first, second = self._shown.steps == 0, self._shown.steps == 1
        frames, self._state = self._session.step(tokens, self._state, first=first, edge=second or flush)
        self._latest = tokens
        height, width = self.size or self._cells
        return np.ascontiguousarray(frames[self._shown.take()][:, :height, :width])

    def _none(self) -> Frames:
        return np.empty((0, *(self.size or self._cells), 3), np.uint8)


class _Shown:
    """Which frames of each step of a segment are shown."""

    def __init__(self, description: Description) -> None:
        self.steps = 0
        self.left = 0
        """Real frames that were not shown yet."""
        self._description = description
        self._latents = 0
        # Frames at the start of the second step's output that belong to no latent frame.
        self._to_drop = description.decoder_delay
        # A place for every frame that latent frames so far stand for: whether it is real.
        self._places: deque[bool] = deque()

    def add(self, latents: int, real: int | None) -> None:
        before = self._description.frames_of(self._latents)
        places = self._description.frames_of(self._latents + latents) - before
        real = places if real is None else real
        if not 0 <= real <= places:
            raise ModelError(f"{real} frames are real, {latents} latent frames stand for {places}")
        self._places.extend([True] * real + [False] * (places - real))
        self._latents += latents
        self.left += real

    def take(self) -> list[int]:
        """Takes a step; returns the places in its output that are shown."""
        frames, first = self._description.step_frames, self.steps == 0
        self.steps += 1
        if first and self._description.causal:
            shown = [frames - 1] if self._places.popleft() else []
        else:
            skipped = min(self._to_drop, frames)
            self._to_drop -= skipped
            count = min(frames - skipped, len(self._places))
            shown = [skipped + i for i in range(count) if self._places.popleft()]
        self.left -= len(shown)
        return shown
