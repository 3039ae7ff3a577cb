"""Samples a continuation of a clip from a model of train.py, and writes it as a `.vidtok` file that plays.

    python examples/train/continue_clip.py model.pt DATASET CLIP --out continuation.vidtok

The first latent frames are those of the clip, all others are the model's. CLIP is a key of the data set.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

import clips
from model import load
from token_file import write_clip


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    try:
        run(arguments)
    except (OSError, ValueError) as error:
        sys.exit(f"continue_clip.py: {error}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="file of train.py")
    parser.add_argument("data", type=Path, help="folder of the data set")
    parser.add_argument("clip", help="key of the clip")
    parser.add_argument("--out", type=Path, default=Path("continuation.vidtok"), help="(continuation.vidtok)")
    parser.add_argument("--original", type=Path, metavar="FILE", help="also write as many latent frames of the clip")
    parser.add_argument("--given", type=int, default=8, metavar="N", help="latent frames of the clip (8)")
    parser.add_argument("--sampled", type=int, default=8, metavar="N", help="latent frames of the model (8)")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1: likelier digits (1)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.given < 1 or arguments.sampled < 1 or arguments.temperature <= 0:
        parser.error("--given and --sampled are 1 or more, and --temperature is above 0")
    return arguments


def run(arguments: argparse.Namespace) -> None:
    model, about = load(arguments.model)
    clip = clips.find(clips.read(arguments.data), arguments.clip)
    shape = model.shape
    if (clip.digest, clip.levels, clip.tokens.shape[1:]) != (about["digest"], shape.levels, shape.grid):
        raise ValueError(f"{arguments.model} was trained on tokens of another tokenizer or picture size")
    if clip.key not in about["held_out"]:
        print(f"{clip.key} is a clip of the training: the model may know by heart how it goes on")

    beginning = clip.beginning()
    if len(beginning) < arguments.given:
        raise ValueError(f"{clip.key} has {len(beginning)} latent frames before its first cut: set --given lower")
    digits = clips.digits_of(beginning[: arguments.given], clip.levels)
    generator = torch.Generator().manual_seed(arguments.seed)
    started = time.monotonic()
    for _ in range(arguments.sampled):
        past = clips.window(digits, shape.frames, clips.none_of(clip.levels))
        new = model.sample(torch.from_numpy(past), arguments.temperature, generator)
        digits = np.concatenate([digits, new.numpy()[None]])
    tokens = clips.tokens_of(digits, clip.levels)
    write_clip(arguments.out, clip, tokens)
    seconds = (time.monotonic() - started) / arguments.sampled
    print(f"{arguments.out}: {arguments.given} latent frames of {clip.key}, {arguments.sampled} of the model")
    print(f"{seconds:.1f} s for each of the model's")
    if arguments.original:
        write_clip(arguments.original, clip, beginning[: len(tokens)])

    sampled, last = tokens[arguments.given :], beginning[arguments.given - 1]
    real = beginning[arguments.given : len(tokens)]
    print("latent frame  like the one before  like the last given  like the real one")
    for number, frame in enumerate(sampled):
        before = last if number == 0 else sampled[number - 1]
        truth = f"{(frame == real[number]).mean():18.1%}" if number < len(real) else f"{'-':>18}"
        at = arguments.given + number
        print(f"{at:12} {(frame == before).mean():20.1%} {(frame == last).mean():20.1%} {truth}")


if __name__ == "__main__":
    main()
