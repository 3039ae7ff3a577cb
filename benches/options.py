"""The options of `benches/run.sh`. Needs only Python, so that wrong options are refused before anything is built."""

import argparse
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """Measures the elements and the bare graphs: milliseconds per step, frames per second, memory, start-up,
and several networks in parallel. Writes benchmark.json and benchmark.md, and prints the latter.

Everything that is compared takes turns, and medians are shown. Every measurement has a process of its own. Nothing
else should run meanwhile. On two cores it takes about 15 minutes, an hour with the reference, two minutes with
--quick."""

TOKENIZERS = ("embedded", "ch32", "ch128")
# Steps per turn: a step takes from milliseconds to seconds.
STEPS = {"embedded": 100, "ch32": 10, "ch128": 5}
QUICK_STEPS = {"embedded": 20, "ch32": 3, "ch128": 2}
SIZES = {"embedded": 256, "ch32": 256, "ch128": 128}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/run.sh", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one turn of few steps, to see whether it works")
    add("--only", action="append", choices=TOKENIZERS, help="measure this tokenizer; may be repeated (default: all)")
    add(
        "--sizes",
        type=pixels,
        metavar="N,N",
        help="widths and heights in pixels, multiples of 8 (default: 256; ch128: 128)",
    )
    add("--steps", type=number, metavar="N", help="steps per turn (default: 100, 10 and 5; quick: 20, 3 and 2)")
    add("--repeats", type=number, metavar="N", help="turns (default: 5; quick: 1)")
    add("--threads", type=count, default=0, metavar="N", help="CPU threads (default: 0, one per core)")
    add(
        "--networks",
        type=numbers,
        metavar="N,N",
        help="numbers of parallel networks (default: 1,2,4,8; quick: 1,2), of the embedded tokenizer",
    )
    add("--no-networks", action="store_true", help="leave the parallel networks out")
    add(
        "--provider",
        default="cpu",
        choices=("cpu", "cuda", "tensorrt"),
        help="execution provider of the elements (default: cpu)",
    )
    add("--reference", type=folder, metavar="CHECKOUT", help="measure VidTok's own PyTorch code, from a checkout of it")
    add(
        "--reference-python",
        default="python3",
        metavar="PYTHON",
        help="a Python with torch and the packages that the checkout imports",
    )
    add(
        "--reference-frames",
        type=clip,
        default=17,
        metavar="N",
        help="frames of its clip: 1 + 4 per step (default: 17)",
    )
    add("--no-compile", action="store_true", help="leave torch.compile out")
    add(
        "--output", type=Path, default=Path(), metavar="DIR", help="folder for the report (default: the current folder)"
    )
    return complete(parser.parse_args(words))


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """Fill in the defaults that depend on --quick."""
    options.only = [name for name in TOKENIZERS if options.only is None or name in options.only]
    options.repeats = options.repeats or (1 if options.quick else 5)
    options.networks = options.networks or ([1, 2] if options.quick else [1, 2, 4, 8])
    return options


def steps(options: argparse.Namespace, tokenizer: str) -> int:
    return options.steps or (QUICK_STEPS if options.quick else STEPS)[tokenizer]


def sizes(options: argparse.Namespace, tokenizer: str) -> list[int]:
    return options.sizes or [SIZES[tokenizer]]


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def number(text: str) -> int:
    if count(text) == 0:
        raise argparse.ArgumentTypeError("begins at 1")
    return int(text)


def numbers(text: str) -> list[int]:
    return [number(part) for part in text.split(",")]


def pixels(text: str) -> list[int]:
    sizes = numbers(text)
    if any(size % 8 for size in sizes):
        raise argparse.ArgumentTypeError(f"{text} is not a multiple of 8")
    return sizes


def clip(text: str) -> int:
    if number(text) % 4 != 1 or int(text) < 5:
        raise argparse.ArgumentTypeError(f"{text} is not 1 + 4·k frames, with k of 1 or more")
    return int(text)


def folder(text: str) -> Path:
    path = Path(text)
    if not (path / "vidtok" / "modules").is_dir():
        raise argparse.ArgumentTypeError(f"{text} is not a checkout of microsoft/VidTok: it has no vidtok/modules")
    return path.resolve()


if __name__ == "__main__":
    parse()
