"""A sample of a data set: the tokens of a clip or of a window of one, and what is known of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vidtok_stream import Stream, StreamError, TokenFormat, read

from .errors import ClipError

KEY = re.compile("[A-Za-z0-9_-]{1,200}")
FIELD_NAME = re.compile("[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """What made the tokens, and of pictures of which size."""

    name: str
    digest: str
    """64 hexadecimal digits: tells tokenizers apart."""
    codebook: int | None
    """FSQ: number of different tokens. `None` for KL."""
    channels: int | None
    """KL: floats per cell. `None` for FSQ."""
    levels: tuple[int, ...] | None
    time_factor: int
    """Video frames per latent frame."""
    space_factor: int
    """Width and height of a cell in pixels."""
    is_causal: bool
    """A segment's first latent frame stands for one video frame."""
    pixels: str | None
    """What was done to the video's pixels in front of the network."""
    width: int
    """Of the video that was tokenized, in pixels."""
    height: int

    @classmethod
    def of(cls, format: TokenFormat) -> "Tokenizer":
        """That of a `.vidtok` file."""
        return cls(
            name=format.model,
            digest=format.digest,
            codebook=format.codebook_size or None,
            channels=format.channels,
            levels=format.levels,
            time_factor=format.time_factor,
            space_factor=format.space_factor,
            is_causal=format.causal,
            pixels=format.pixels,
            width=format.width,
            height=format.height,
        )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of a latent frame."""
        return -(-self.height // self.space_factor), -(-self.width // self.space_factor)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of a latent frame: `(h, w)`, for KL `(h, w, channels)`."""
        return self.grid if self.channels is None else (*self.grid, self.channels)

    def describe(self) -> dict[str, Any]:
        """As JSON."""
        described = {
            "name": self.name,
            "digest": self.digest,
            "codebook": self.codebook,
            "levels": None if self.levels is None else list(self.levels),
            "channels": self.channels,
            "time_factor": self.time_factor,
            "space_factor": self.space_factor,
            "is_causal": self.is_causal,
            "pixels": self.pixels,
        }
        return {key: value for key, value in described.items() if value is not None}


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """What every layout holds of a clip, or of a window of one. Making an impossible one raises a `ClipError`."""

    key: str
    """Unique in the data set: letters, digits, `-` and `_`. No dots, as WebDataset's key ends at the first."""
    tokens: NDArray[Any]
    """`[F, h, w]` FSQ indices as uint32, or `[F, h, w, C]` KL floats as float32; F latent frames."""
    pts: NDArray[np.int64]
    """`[frames]`: when each video frame is shown, in nanoseconds; -1 where nobody knows."""
    durations: NDArray[np.int64]
    """`[frames]`: how long each video frame is shown, in nanoseconds; -1 where nobody knows."""
    segments: NDArray[np.int64]
    """`[n, 4]`: first latent frame, latent frames, first video frame and video frames of each segment."""
    source: str
    """The video that it is of."""
    source_sha256: str
    first_frame: int
    """Number of its first frame among those of the clip that were tokenized."""
    tokenizer: Tokenizer
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Side data by name; the first axis is video frames."""
    file: Path | None = None
    """The `.vidtok` file that has these tokens and no others, if there is one."""
    format: TokenFormat | None = None
    """That of the file that they are from."""
    preceding: int = 0
    """Latent frames of the same segment in front of the first one, which a decoder has to have. 0: it decodes alone."""

    def __post_init__(self) -> None:
        if not KEY.fullmatch(self.key):
            raise ClipError(f"the key {self.key!r} has other characters than A-Z a-z 0-9 _ -, or too many")
        frames, latent_frames = len(self.pts), len(self.tokens)
        shape = self.tokenizer.latent_shape
        if self.tokens.shape[1:] != shape or not latent_frames:
            raise ClipError(
                f"{self.key}: tokens of shape {list(self.tokens.shape)} for a latent frame of {list(shape)}"
            )
        if self.tokenizer.codebook is not None and int(self.tokens.max()) >= self.tokenizer.codebook:
            raise ClipError(f"{self.key}: a token is not below the codebook's {self.tokenizer.codebook}")
        if len(self.durations) != frames:
            raise ClipError(f"{self.key}: {len(self.durations)} durations for {frames} video frames")
        if self.segments.ndim != 2 or self.segments.shape[1] != 4 or not len(self.segments):
            raise ClipError(f"{self.key}: segments of shape {list(self.segments.shape)}, wanted is [n, 4]")
        ends = self.segments[:, [0, 2]] + self.segments[:, [1, 3]]
        starts = np.concatenate([[[0, 0]], ends[:-1]])
        if (self.segments[:, [0, 2]] != starts).any() or (ends[-1] != (latent_frames, frames)).any():
            raise ClipError(f"{self.key}: the segments are not all {latent_frames} latent and {frames} video frames")
        for name, values in self.fields.items():
            if not FIELD_NAME.fullmatch(name):
                raise ClipError(f"{self.key}: the side data's name {name!r} is not one of letters, digits and _")
            if values.ndim == 0 or len(values) != frames:
                raise ClipError(
                    f"{self.key}: side data {name!r} of shape {list(values.shape)} for {frames} video frames"
                )
            if values.dtype.kind not in "biuf":
                raise ClipError(f"{self.key}: side data {name!r} is {values.dtype}: numbers were expected")

    @property
    def frames(self) -> int:
        """Video frames."""
        return len(self.pts)

    def describe(self) -> dict[str, Any]:
        """What is known of it but arrays of one number a frame, as JSON."""
        return {
            "key": self.key,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "first_frame": self.first_frame,
            "frames": self.frames,
            "latent_frames": len(self.tokens),
            "grid": list(self.tokenizer.grid),
            "width": self.tokenizer.width,
            "height": self.tokenizer.height,
            "segments": self.segments.tolist(),
            "preceding_latent_frames": self.preceding,
            "tokenizer": self.tokenizer.describe(),
        }

    def describe_with_times(self) -> dict[str, Any]:
        """As `describe`, with each frame's times: for layouts that have no array for them."""
        return self.describe() | {"pts": self.pts.tolist(), "durations": self.durations.tolist()}

    @classmethod
    def read(cls, path: Path, record: Mapping[str, Any], fields: Mapping[str, NDArray[Any]] | None = None) -> "Sample":
        """The sample of a `.vidtok` file.

        `record` has `key`, `source`, `source_sha256` and `first_frame`; for a window that is cut out of the file's
        tokens, also `latent_frames`: the first one, and the one behind the last. `fields` are already those of the
        sample's own frames. What is missing or damaged in the file is a `ClipError`.
        """
        try:
            stream = read(path)
        except (OSError, StreamError) as error:
            raise ClipError(str(error)) from error
        return cls.of(stream, record, fields, path)

    @classmethod
    def of(
        cls,
        stream: Stream,
        record: Mapping[str, Any],
        fields: Mapping[str, NDArray[Any]] | None = None,
        path: Path | None = None,
    ) -> "Sample":
        """As `read`, of tokens that were read before. `path`: the file that they are from, if there is one."""
        if len(stream.gaps) or stream.skipped_bytes or stream.cut_bytes or not len(stream.tokens):
            raise ClipError(f"{path or record['key']}: tokens are missing")
        begin, end = record.get("latent_frames") or (0, len(stream.tokens))
        if not 0 <= begin < end <= len(stream.tokens):
            raise ClipError(f"{path or record['key']}: no latent frames {begin} to {end} among {len(stream.tokens)}")
        frame_starts = np.concatenate([[0], np.cumsum(stream.real_frames)])
        shown = slice(int(frame_starts[begin]), int(frame_starts[end]))
        return cls(
            key=record["key"],
            tokens=stream.tokens[begin:end].astype(np.uint32 if stream.format.levels else np.float32),
            pts=stream.pts[shown],
            durations=stream.durations[shown],
            segments=_segments(stream, begin, end, frame_starts),
            source=record["source"],
            source_sha256=record["source_sha256"],
            first_frame=int(record["first_frame"]),
            tokenizer=Tokenizer.of(stream.format),
            fields=fields or {},
            file=path if (begin, end) == (0, len(stream.tokens)) else None,
            format=stream.format,
            preceding=begin - int(stream.segment_starts[stream.segment_starts <= begin].max()),
        )


def _segments(stream: Stream, begin: int, end: int, frame_starts: NDArray[np.int64]) -> NDArray[np.int64]:
    inner = stream.segment_starts[(stream.segment_starts > begin) & (stream.segment_starts < end)]
    cuts = np.concatenate([[begin], inner, [end]])
    frames = frame_starts[cuts]
    return np.stack([cuts[:-1] - begin, np.diff(cuts), frames[:-1] - frames[0], np.diff(frames)], axis=1).astype(
        np.int64
    )
