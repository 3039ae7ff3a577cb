"""A data set of the layout 1x-v1: reading it, splitting it by clip, and tokens as digits. Needs NumPy only."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
Digits = NDArray[np.int64]
NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Clip:
    """A sample of the data set."""

    about: dict[str, Any]
    """What docs/layouts.md lists: key, source, segments, tokenizer and so on."""
    tokens: Tokens
    """`[F, h, w]`: FSQ indices."""

    @property
    def key(self) -> str:
        return self.about["key"]

    @property
    def levels(self) -> tuple[int, ...]:
        """Values of each digit of a token."""
        return tuple(self.about["tokenizer"]["levels"])

    @property
    def digest(self) -> str:
        """Tells the tokenizer apart from others, whose tokens mean something else."""
        return self.about["tokenizer"]["digest"]

    @property
    def framerate(self) -> Fraction:
        """Video frames per second, from the times of the frames; 25 where nobody knows them."""
        pts = np.array(self.about.get("pts", []), np.int64)
        steps = np.diff(pts[pts >= 0])
        steps = steps[steps > 0]
        # Rates of television, such as 30000/1001, have this denominator; times are rounded to nanoseconds.
        return Fraction(NANOSECONDS / float(np.median(steps))).limit_denominator(1001) if len(steps) else Fraction(25)

    def segments(self) -> Iterator[Tokens]:
        """`[f, h, w]` each: latent frames that the tokenizer encoded as one video."""
        for first, latent_frames, *_ in self.about["segments"]:
            yield self.tokens[first : first + latent_frames]

    def beginning(self) -> Tokens:
        """`[f, h, w]`: its first segment. Raises `ValueError` if what a decoder needs is in front of it."""
        if self.about.get("preceding_latent_frames"):
            raise ValueError(f"{self.key} was cut out of a clip's tokens: it does not decode without those before it")
        return next(self.segments())


def read(folder: Path) -> list[Clip]:
    """All samples of a data set, as docs/layouts.md describes 1x-v1. Raises `ValueError` for what cannot be used."""
    try:
        metadata = json.loads((folder / "metadata.json").read_text("utf-8"))
        lines = (folder / "samples.jsonl").read_text("utf-8").splitlines()
        size, dtype = metadata["s"], metadata["token_dtype"]
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"{folder} is not a data set of the layout 1x-v1 ({error}): make one with vidtok-dataset --layout 1x-v1"
        ) from error
    tokens = np.fromfile(folder / "video.bin", dtype).astype(np.int64).reshape(-1, size, size)
    clips, at = [], 0
    for about in map(json.loads, lines):
        clips.append(Clip(about, tokens[at : at + about["latent_frames"]]))
        at += about["latent_frames"]
    if at != len(tokens):
        raise ValueError(f"{folder}: samples.jsonl has {at} latent frames, and video.bin {len(tokens)}")
    return clips


def find(clips: Sequence[Clip], key: str) -> Clip:
    """The clip of that key. Raises `ValueError` if there is none."""
    for clip in clips:
        if clip.key == key:
            return clip
    raise ValueError(f"the data set has no clip {key}; it has {', '.join(clip.key for clip in clips[:10])} ...")


def split(clips: Sequence[Clip], patterns: Sequence[str] = (), every: int = 8) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and clips that are held out.

    Held out are those whose key fits a pattern such as `film_*`; without patterns, one video in `every`. Samples of one
    video are never on both sides, as their frames resemble each other.
    """
    sources = {clip.about["source_sha256"] for clip in clips if any(fnmatchcase(clip.key, each) for each in patterns)}
    if not patterns:
        # By checksum: more videos do not move the others to the other side, and their order does not matter.
        sources = {source for clip in clips if int(source := clip.about["source_sha256"], 16) % every == 0}
    train = [clip for clip in clips if clip.about["source_sha256"] not in sources]
    held_out = [clip for clip in clips if clip.about["source_sha256"] in sources]
    if not train or not held_out:
        raise ValueError(
            f"{len(train)} clips to train on and {len(held_out)} held out of {len(clips)}: both need one;"
            " name clips with --hold-out, or use more videos"
        )
    return train, held_out


def digits_of(tokens: Tokens, levels: Sequence[int]) -> Digits:
    """`[...]` tokens to `[..., n]` digits. The first digit is the least significant."""
    places = np.cumprod([1, *levels[:-1]])
    return tokens[..., None] // places % np.array(levels)


def tokens_of(digits: Digits, levels: Sequence[int]) -> Tokens:
    """`[..., n]` digits to `[...]` tokens."""
    return (digits * np.cumprod([1, *levels[:-1]])).sum(-1)


@dataclass(frozen=True, eq=False)
class Examples:
    """Latent frames to predict, and those in front of them."""

    past: Digits
    """`[N, K, h, w, n]`: the K latent frames before, the latest first; in front of a segment's first, a frame whose
    digits are all `none`."""
    present: Digits
    """`[N, h, w, n]`: the latent frame to predict; never a segment's first."""


def none_of(levels: Sequence[int]) -> int:
    """The digit that stands for no digit at all."""
    return max(levels)


def examples(clips: Sequence[Clip], frames: int) -> Examples:
    """Every latent frame but each segment's first, with the `frames` before it."""
    past, present = [], []
    for clip in clips:
        for segment in clip.segments():
            digits = digits_of(segment, clip.levels)
            for at in range(1, len(digits)):
                past.append(window(digits[:at], frames, none_of(clip.levels)))
                present.append(digits[at])
    if not present:
        raise ValueError("no clip has two latent frames in a row")
    return Examples(np.stack(past), np.stack(present))


def window(digits: Digits, frames: int, none: int) -> Digits:
    """`[f, h, w, n]` to `[frames, h, w, n]`: the last frames, the latest first, and `none` where there are too few."""
    latest = digits[::-1][:frames]
    missing = np.full((frames - len(latest), *digits.shape[1:]), none, digits.dtype)
    return np.concatenate([latest, missing])
