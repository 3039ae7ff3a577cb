"""Compares ways to conceal lost cells, apart from RTP: conceal.py CLIPS [--tokenizer FOLDER]

At several moments of each clip, the cells of one packet are taken to be lost, are filled in one way or another, and are
decoded, with the latent frames behind them. Prints what that costs in PSNR, latent frame by latent frame. Runs the
graphs with ONNX Runtime; `PYTHONPATH=models` and the packages of tests/requirements.txt are needed.
"""

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "python"))

import stepping  # noqa: E402

SIZE, CELL, GROUP = 256, 8, 4
GRID = SIZE // CELL
LATENT_FRAMES, HORIZON, MOMENTS = 25, 8, (3, 8, 12, 15)

Array = np.ndarray
State = Mapping[str, Array]
ROWS, COLUMNS = np.indices((GRID, GRID))
# Which cells are in packet 0 or 1 of a latent frame.
LAYOUTS: Mapping[str, Callable[[int], Array]] = {
    "halves": lambda part: (ROWS * 2 // GRID) == part,
    "every other row": lambda part: ROWS % 2 == part,
    "checkerboard": lambda part: (ROWS + COLUMNS) % 2 == part,
    "whole latent frame": lambda part: np.full((GRID, GRID), part == 0),
}


class Fills:
    """Each method takes tokens, which of them are missing, and the tokens of the latent frame before."""

    def __init__(self, levels: list[int]) -> None:
        self.levels = np.array(levels)
        self.bases = np.concatenate([[1], np.cumprod(levels)[:-1]])

    def digits(self, tokens: Array) -> Array:
        return tokens[..., None] // self.bases % self.levels

    def tokens(self, digits: Array) -> Array:
        return (np.clip(np.rint(digits), 0, self.levels - 1).astype(np.int64) * self.bases).sum(-1)

    def colocated(self, tokens: Array, missing: Array, before: Array) -> Array:
        return np.where(missing, before, tokens)

    def middle(self, tokens: Array, missing: Array, before: Array) -> Array:
        middle = np.broadcast_to((self.levels - 1) / 2, (*tokens.shape, len(self.levels)))
        return np.where(missing, self.tokens(middle), tokens)

    def neighbours(self, tokens: Array, missing: Array, before: Array) -> Array:
        """The mean of the next cells that came, above and below, weighted by how near they are."""
        filled = self.digits(tokens).astype(float)
        for column in range(GRID):
            came = np.flatnonzero(~missing[:, column])
            if len(came):
                for digit in range(len(self.levels)):
                    known = filled[came, column, digit]
                    filled[:, column, digit] = np.interp(np.arange(GRID), came, known)
        return np.where(missing, self.tokens(filled), tokens)

    def between(self, tokens: Array, missing: Array, before: Array) -> Array:
        around = self.digits(self.neighbours(tokens, missing, before))
        return np.where(missing, self.tokens((around + self.digits(before)) / 2), tokens)


class Clip:
    def __init__(self, tokenizer: stepping.Tokenizer, frames: Array) -> None:
        self.decoder, self.frames = tokenizer.decoder, frames
        steps = tokenizer.encoder_steps(frames)
        outputs = tokenizer.encoder.run([steps], [0])[0]
        self.tokens = np.concatenate([output["tokens"] for output in outputs])
        self.states: list[State] = []
        self.pictures: list[Array] = []
        state = dict(self.decoder.states)
        for number, tokens in enumerate(self.tokens):
            self.states.append(state)
            pictures, state = self.step(state, tokens, number == 0)
            self.pictures.append(pictures)

    def step(self, state: State, tokens: Array, first: bool = False) -> tuple[Array, State]:
        self.decoder.states = dict(state)
        outputs = self.decoder.step(tokens=tokens[None, None].astype(np.int32), first=np.array([first]))
        return outputs["frames"][0], self.decoder.states

    def decode(self, moment: int, tokens: Array | None) -> Array:
        """Pictures from a moment on, whose latent frame has other tokens, or is left out: the last picture stays."""
        state, shown = self.states[moment], []
        if tokens is None:
            shown.append(np.repeat(self.pictures[moment - 1][-1:], GROUP, axis=0))
        for number in range(moment, moment + HORIZON):
            if number > moment or tokens is not None:
                given = tokens if number == moment else self.tokens[number]
                pictures, state = self.step(state, given)
                shown.append(pictures)
        return np.concatenate(shown)

    def psnr(self, moment: int, pictures: Array) -> Array:
        """Of each latent frame from a moment on: the mean of its pictures'."""
        start = 1 + (moment - 1) * GROUP
        original = self.frames[start : start + len(pictures)].astype(float)
        errors = ((pictures - original) ** 2).mean(axis=(1, 2, 3))
        return (10 * np.log10(255**2 / errors)).reshape(-1, GROUP).mean(axis=1)


def costs(clip: Clip, fills: Fills) -> Iterator[tuple[tuple[str, str], Array]]:
    """Layout and way, and the PSNR that each latent frame loses, for each moment and packet."""
    for moment in MOMENTS:
        clean = clip.psnr(moment, np.concatenate(clip.pictures[moment : moment + HORIZON]))
        now, before = clip.tokens[moment], clip.tokens[moment - 1]
        for layout, cells in LAYOUTS.items():
            for part in (0, 1):
                missing = cells(part)
                if not missing.any():
                    continue
                ways = {"co-located": fills.colocated, "middle level": fills.middle}
                if not missing.all():
                    ways |= {"neighbours": fills.neighbours, "co-located and neighbours": fills.between}
                for way, fill in ways.items():
                    pictures = clip.decode(moment, fill(now, missing, before))
                    yield (layout, way), clip.psnr(moment, pictures) - clean
                    if way == "co-located":
                        pixels = missing.repeat(CELL, axis=0).repeat(CELL, axis=1)
                        pictures[:GROUP, pixels] = clip.pictures[moment - 1][-1][pixels]
                        yield (layout, "co-located, last picture's pixels"), clip.psnr(moment, pictures) - clean
                if missing.all():
                    yield (layout, "no step, last picture"), clip.psnr(moment, clip.decode(moment, None)) - clean


def read(video: Path) -> Array:
    frames = 1 + (LATENT_FRAMES - 1) * GROUP
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-vf", f"crop={SIZE}:{SIZE}", "-pix_fmt", "rgb24"]
    raw = subprocess.run([*command, "-f", "rawvideo", "-"], check=True, stdout=subprocess.PIPE).stdout
    clip = np.frombuffer(raw, np.uint8).reshape(-1, SIZE, SIZE, 3)
    # A short clip runs back and forth.
    while len(clip) < frames:
        clip = np.concatenate([clip, clip[-2::-1]])
    return clip[:frames]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "models" / "vidtok-small-488-32768")
    options = parser.parse_args()
    tokenizer = stepping.Tokenizer(options.tokenizer, SIZE, SIZE)
    fills = Fills(tokenizer.facts["levels"])
    found = defaultdict(list)
    for video in sorted(options.clips.glob("*.mp4")):
        for way, cost in costs(Clip(tokenizer, read(video)), fills):
            found[way].append(cost)
    print("| lost | filled with | in it | +1 | +2 | +3 | mean of 8 |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for (layout, way), values in found.items():
        mean = np.mean(values, axis=0)
        cells = [f"{value + 0.0:.2f}" for value in np.round([*mean[:4], mean.mean()], 2)]
        print(f"| {layout} | {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
