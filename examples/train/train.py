"""Trains a tiny next-token model on a data set of tokens, and says what it learnt.

    python examples/train/train.py DATASET --out model.pt --minutes 4

DATASET is a folder that `vidtok-dataset --layout 1x-v1` made.
"""

import argparse
import math
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import clips
from baselines import baselines, copy_accuracy, transitions
from clips import Examples
from model import Model, Shape, save

REPORT_SECONDS = 20.0
WARM_UP = 0.03  # share of the training in which the learning rate rises


class Learnt(NamedTuple):
    bits: float
    """Per token."""
    tokens: float
    """The share of them whose digits are all the likeliest in the model's eyes."""
    digits: float
    """The share of digits that are the likeliest."""


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    try:
        train, held_out = clips.split(clips.read(arguments.data), arguments.hold_out)
        given, unseen = (clips.examples(each, arguments.frames) for each in (train, held_out))
    except ValueError as error:
        sys.exit(f"train.py: {error}")
    levels = train[0].levels
    print(f"trained on {len(train)} clips: {given.present.size // len(levels):,} tokens")
    print(f"held out {len(held_out)} clips: {unseen.present.size // len(levels):,} tokens")
    print(f"held out: {' '.join(clip.key for clip in held_out)}")

    grid = given.present.shape[1], given.present.shape[2]
    model = Model(Shape(levels, grid, arguments.frames), transitions(given, levels))
    print(f"{sum(weight.numel() for weight in model.parameters()):,} weights")
    begin, busy = time.monotonic(), time.process_time()
    steps = fit(model, given, arguments)
    took, worked = ((time.monotonic() - begin) / 60, (time.process_time() - busy) / 60)
    print(f"{steps} steps of {arguments.batch} latent frames in {took:.1f} minutes ({worked:.1f} of a processor)")
    save(arguments.out, model, {"digest": train[0].digest, "held_out": [clip.key for clip in held_out]})

    # Some of what it was trained on, too: what it learnt of those clips only.
    some = np.random.default_rng(arguments.seed).permutation(len(given.present))[: len(unseen.present)]
    seen = Examples(given.past[some], given.present[some])
    report(model, given, {"held out": unseen, "trained on": seen})
    print(f"\n{'bits per token of each clip that was held out':<56}{'baseline':>12}{'model':>12}")
    for clip in held_out:
        if any(len(segment) > 1 for segment in clip.segments()):
            each = clips.examples([clip], arguments.frames)
            best = baselines(given, each, levels)[-1]
            print(f"{clip.key:<56}{best.bits:12.2f}{evaluate(model, each).bits:12.2f}")


def report(model: Model, given: Examples, asked: dict[str, Examples]) -> None:
    """Prints a table: how well each predicts. The baselines were counted in `given`."""
    levels = model.shape.levels
    print(f"\n{'bits per token':<56}" + "".join(f"{name:>12}" for name in asked))
    simple = [baselines(given, each, levels) for each in asked.values()]
    learnt = [evaluate(model, each) for each in asked.values()]
    for row in zip(*simple, strict=True):
        print(f"{row[0].name:<56}" + "".join(f"{each.bits:12.2f}" for each in row))
    print(f"{'the model':<56}" + "".join(f"{each.bits:12.2f}" for each in learnt))
    copied = [copy_accuracy(each) for each in asked.values()]
    print("the best guess is right")
    print(f"{'tokens: the one before again':<56}" + "".join(f"{each.tokens:12.1%}" for each in copied))
    print(f"{'tokens: the model':<56}" + "".join(f"{each.tokens:12.1%}" for each in learnt))
    print(f"{'digits: the one before again':<56}" + "".join(f"{each.digits:12.1%}" for each in copied))
    print(f"{'digits: the model':<56}" + "".join(f"{each.digits:12.1%}" for each in learnt))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of a data set")
    parser.add_argument("--out", type=Path, default=Path("model.pt"), help="the model's file (model.pt)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=4.0, help="how long to train (4)")
    length.add_argument(
        "--steps", type=int, help="how many steps to train instead: the result depends on the seed only"
    )
    parser.add_argument(
        "--hold-out", nargs="+", default=[], metavar="PATTERN", help="keys of clips not to train on (one in 8)"
    )
    parser.add_argument("--frames", type=int, default=4, help="latent frames that the model looks back (4)")
    parser.add_argument("--batch", type=int, default=16, help="latent frames of a step (16)")
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate (2e-3)")
    parser.add_argument(
        "--wear", type=float, default=0.2, help="change up to this share of the latent frames before (0.2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.frames < 1 or arguments.batch < 1 or arguments.threads < 1:
        parser.error("--frames, --batch and --threads are 1 or more")
    return arguments


def fit(model: Model, given: Examples, arguments: argparse.Namespace) -> int:
    """Trains for the time or the steps that were asked for. Returns the number of steps."""
    optimizer = torch.optim.AdamW(model.parameters(), arguments.rate, weight_decay=0.05)
    past, present = torch.from_numpy(given.past), torch.from_numpy(given.present)
    begin = reported = time.monotonic()
    step, recent = 0, []
    while True:
        now = time.monotonic()
        done = step / arguments.steps if arguments.steps else (now - begin) / (60 * arguments.minutes)
        if done >= 1:
            return step
        for group in optimizer.param_groups:
            group["lr"] = arguments.rate * min(done / WARM_UP, 1) * (1 + math.cos(math.pi * done)) / 2 + 1e-6
        chosen = torch.randint(len(present), (arguments.batch,))
        seen = worn(past[chosen], model.shape.levels, arguments.wear)
        loss = bits_of(model(seen, present[chosen]), present[chosen]).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        recent.append(loss.item())
        if now - reported > REPORT_SECONDS:
            print(f"{now - begin:5.0f} s  step {step:5}  {np.mean(recent):6.2f} bits per token in training", flush=True)
            reported, recent = now, []


def worn(past: Tensor, levels: tuple[int, ...], share: float) -> Tensor:
    """`past`, `[B, K, h, w, n]`, as if a model had made it: some tokens have digits one too high or too low.

    A model that only saw true latent frames takes its own mistakes for true, and goes astray. Half of the examples stay
    as they are; of each of the others, up to `share` of the tokens change.
    """
    shares = share * (2 * torch.rand(len(past), 1, 1, 1, 1) - 1).clamp(min=0)
    changed = (torch.rand(*past.shape[:-1], 1) < shares) & (past != max(levels))
    other = torch.minimum((past + torch.randint(-1, 2, past.shape)).clamp(min=0), torch.tensor(levels) - 1)
    return torch.where(changed, other, past)


def bits_of(scores: Tensor, present: Tensor) -> Tensor:
    """`[B, h · w, n, V]` and `[B, h, w, n]` to bits per token, `[B, h · w]`: the sum over the token's digits."""
    digits = present.flatten(1, 2)
    nats = functional.cross_entropy(scores.movedim(-1, 1), digits, reduction="none")
    return nats.sum(-1) / math.log(2)


@torch.no_grad()
def evaluate(model: Model, examples: Examples) -> Learnt:
    """How well the model predicts each digit, given the true ones before it."""
    model.eval()
    bits, tokens, digits = [], [], []
    for at in range(0, len(examples.present), 32):
        past, present = (torch.from_numpy(each[at : at + 32]) for each in (examples.past, examples.present))
        scores = model(past, present)
        right = scores.argmax(-1) == present.flatten(1, 2)
        bits.append(bits_of(scores, present).flatten())
        tokens.append(right.all(-1).flatten())
        digits.append(right.flatten())
    return Learnt(*(float(torch.cat(each).double().mean()) for each in (bits, tokens, digits)))


if __name__ == "__main__":
    main()
