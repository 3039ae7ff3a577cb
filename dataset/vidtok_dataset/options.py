"""What is the same for all clips of a data set, and decides its tokens."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Literal

from .errors import DatasetError

MAX_WINDOW = 1_000_000
LEAST_FPS = Fraction(1, 1000)
Windows = Literal["whole", "alone", "stream"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of `vidtokenc`, and what is taken of each clip. All of them are plain JSON values."""

    model: str | None = None
    """Folder or name of a tokenizer; `None`: the built-in one."""
    size: str | None = None
    """As `vidtokenc`'s property: `256` or `256x256`; `None`: each video's own."""
    fit: str = "crop"
    interpolation: str = "bilinear"
    conversion: str = "swscale"
    fps: str | None = None
    """Frames per second, exactly, as a number or a fraction: frames are left out or doubled."""
    sample_fps: float | None = None
    """About so many frames per second, picked as VidTok does."""
    frame_interval: int = 1
    deinterlace: bool = False
    key_interval: int = 0
    """Video frames from one segment start to the next; 0: a clip is one segment."""
    token_type: str | None = None
    """KL: `float16` or `float32`."""
    window: int | None = None
    """Frames of a sample; `None`: a clip is a sample."""
    windows: Windows = "whole"
    """How clips become samples: `alone`: every window is tokenized by itself; `stream`: windows are cut out of a clip's
    tokens."""

    def __post_init__(self) -> None:
        picks = [self.fps is not None, self.sample_fps is not None, self.frame_interval != 1]
        if sum(picks) > 1:
            raise DatasetError("--fps, --sample-fps and --frame-interval say which frames are kept: give one of them")
        if self.fps is not None:
            self.framerate()
        if self.sample_fps is not None and not 0 < self.sample_fps <= 1000:
            raise DatasetError(f"--sample-fps {self.sample_fps}: a number above 0 was expected")
        if self.window is not None and not 1 <= self.window <= MAX_WINDOW:
            raise DatasetError(f"--window {self.window}: 1 to {MAX_WINDOW} frames were expected")
        if (self.window is None) != (self.windows == "whole"):
            raise DatasetError("--window says how many frames a sample has, and --windows how they are tokenized")
        if self.windows == "alone" and self.key_interval not in (0, self.window):
            raise DatasetError("windows that are tokenized alone are segments: leave --key-interval out")

    def framerate(self) -> Fraction:
        """`fps` as a fraction."""
        try:
            rate = Fraction(self.fps or "")
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not LEAST_FPS <= rate <= 1000:
            raise DatasetError(f"--fps {self.fps}: a number from 0.001 or a fraction like 30000/1001 was expected")
        return rate.limit_denominator(100_000)

    @property
    def segment_frames(self) -> int:
        """The encoder's key interval."""
        return self.window or 0 if self.windows == "alone" else self.key_interval

    def digest(self) -> str:
        """Tells options apart that give other tokens of the same tokenizer, wherever its folder is."""
        return hashlib.sha256(json.dumps(asdict(replace(self, model=None)), sort_keys=True).encode()).hexdigest()
