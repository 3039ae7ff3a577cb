"""Which parts of a clip's tokens are samples."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from vidtok_stream import TokenFormat

from .errors import DatasetError
from .options import Options


@dataclass(frozen=True)
class Window:
    """A run of latent frames, and of the video frames that they stand for."""

    latent: int
    latents: int
    frame: int
    frames: int


def check_windows(options: Options, format: TokenFormat) -> None:
    """Raises a `DatasetError` where the tokenizer has no windows of so many frames."""
    frames = options.window
    if frames is None:
        return
    if options.windows == "stream":
        if frames < 1 or frames % format.time_factor:
            raise DatasetError(
                f"--window {frames}: a latent frame of {format.model} stands for {format.time_factor} frames, and"
                f" windows that are cut out of a clip's tokens are whole latent frames, so a multiple of"
                f" {format.time_factor}"
            )
        groups = -(-max(0, options.key_interval - format.causal) // format.time_factor)
        if options.key_interval and groups * format.time_factor < frames:
            raise DatasetError(
                f"--window {frames}: with --key-interval {options.key_interval}, no segment has so many frames in whole"
                " latent frames"
            )
        return
    latents = range(1, frames // format.time_factor + 3)
    fits = [format.frames_of(each, segment_start=True) for each in latents]
    if frames not in fits:
        below = max((each for each in fits if each < frames), default=fits[0])
        above = min(each for each in fits if each > frames)
        raise DatasetError(
            f"--window {frames}: {format.model} tokenizes {below} or {above} frames by themselves without filling up"
        )


def windows_of(options: Options, real_frames: NDArray[np.int64], segment_starts: NDArray[np.int64]) -> Iterator[Window]:
    """The windows of a clip, in order.

    `real_frames`: `[t]`, video frames that each latent frame stands for; `segment_starts`: latent frames.
    """
    frame_of = np.concatenate([[0], np.cumsum(real_frames)])
    if options.window is None:
        yield Window(0, len(real_frames), 0, int(frame_of[-1]))
        return
    ends = [*segment_starts[1:].tolist(), len(real_frames)]
    for start, end in zip(segment_starts.tolist(), ends, strict=True):
        if options.windows == "alone":
            if frame_of[end] - frame_of[start] == options.window:
                yield Window(start, end - start, int(frame_of[start]), options.window)
            continue
        # A causal segment begins with a latent frame of one video frame, and may end with one that is filled up.
        factor = int(real_frames.max())
        whole = [at for at in range(start, end) if real_frames[at] == factor]
        size = options.window // factor
        for at in whole[::size]:
            if at + size <= end and frame_of[at + size] - frame_of[at] == options.window:
                yield Window(at, size, int(frame_of[at]), options.window)
