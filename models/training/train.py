"""Train the small tokenizer.

    python3 models/training/train.py --data DIR --output DIR --minutes 90

DIR holds videos and photographs. The same command continues a killed training from its last checkpoint. With --minutes
the learning rate follows the time spent, with --steps the step; the result then depends on the seed only (on one
machine with one number of threads).

The learning rate is constant for the first 60% of the training. Until then its length can be changed, with the same
result as if it had been set from the start.

With --teacher, a tokenizer folder made by models/export.py, the network learns that tokenizer's tokens:

    python3 models/training/train.py --data DIR --output DIR --teacher models/NAME --part decoder
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import needed
from shape import BLOCK, GROUP, PARTS, SIZES

Number = TypeVar("Number", int, float)


def setting(value: Callable[[str], Number]) -> Callable[[str], tuple[str, Number]]:
    """A parser of KEY=VALUE."""

    def parse(text: str) -> tuple[str, Number]:
        key, sign, number = text.rpartition("=")
        if not sign or not key:
            raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
        try:
            return key, value(number)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: {number!r} is not a number") from None

    return parse


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of videos and photographs")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="PATTERN", help="files not to train on")
    parser.add_argument(
        "--weigh", nargs="+", type=setting(float), default=[], metavar="PATTERN=WEIGHT", help="how often to use files"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint.pt and progress.jsonl")
    parser.add_argument(
        "--start", type=Path, help="a checkpoint or a tokenizer folder to start from; --network may name a larger one"
    )
    parser.add_argument(
        "--network", nargs="+", type=setting(int), default=[], metavar="KEY=NUMBER", help=f"sizes: {', '.join(SIZES)}"
    )
    parser.add_argument("--cache", type=Path, help="folder for decoded videos (default: OUTPUT/cache)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=90.0, help="how long to train (default: 90)")
    length.add_argument("--steps", type=int, help="how many steps to train instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=25, help="frames of a training clip, 1 + 4k (default: 25)")
    parser.add_argument("--crop", type=int, default=96, help="side of a training clip (default: 96)")
    parser.add_argument("--muon-rate", type=float, default=1e-3)
    parser.add_argument("--adam-rate", type=float, default=4e-4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 where the machine has it")
    parser.add_argument("--compile", action="store_true", help="compile network and loss first (needs a C++ compiler)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches (default: 0)")
    parser.add_argument("--report-every", type=float, default=30.0, help="seconds between progress lines")
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between checkpoints")
    learning = parser.add_argument_group("learning another tokenizer's tokens")
    learning.add_argument("--teacher", type=Path, help="its folder: a causal FSQ tokenizer at 4x8x8")
    learning.add_argument("--part", choices=PARTS, help="what to train (default: both)")
    learning.add_argument(
        "--teacher-batches",
        type=int,
        metavar="N",
        help="repeat N batches and keep their tokens in the cache, for a slow teacher (default: new clips per step)",
    )
    arguments = parser.parse_args()
    if arguments.teacher is None and (arguments.part or arguments.teacher_batches):
        parser.error("--part and --teacher-batches are for --teacher")
    if arguments.teacher_batches is not None and arguments.teacher_batches < 1:
        parser.error("--teacher-batches must be 1 or more")
    arguments.part = arguments.part or "both"
    arguments.network, arguments.weigh = dict(arguments.network), dict(arguments.weigh)
    for key, number in arguments.network.items():
        if key not in SIZES or number < 1:
            parser.error(f"--network {key}={number}: the keys are {', '.join(SIZES)}, and a number is 1 or more")
    if not all(0 <= weight < math.inf for weight in arguments.weigh.values()):
        parser.error("--weigh: a weight is 0 or more")
    if arguments.frames % GROUP != 1 or arguments.frames <= GROUP or arguments.crop % BLOCK:
        parser.error(f"--frames must be 1 + {GROUP}k and above 1, --crop a multiple of {BLOCK}")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    with needed.packages():
        from trainer import Training
    Training(arguments).run()


if __name__ == "__main__":
    main()
