"""The options of `benches/latency.sh`. Needs only Python: wrong options are refused before anything is built."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """Measures how long a picture takes from its capture to the moment that it comes out, over RTP on the
loopback device, with the built-in tokenizer and with x264 (tune=zerolatency), in turns. Writes latency.json and
latency.md, and prints the latter.

Sender and receiver are processes of their own with one clock. The camera is a clip from memory, and there is no screen:
capture and display hardware are not in the figures. Nothing else should run meanwhile."""

CODERS = ("tokens", "x264")
PACES = ("at-once", "in-time")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/latency.sh", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--coders", type=some(CODERS), default=CODERS, help="some of tokens,x264 (default: both)")
    add(
        "--paces",
        type=some(PACES),
        default=PACES,
        help="at-once: what is there is sent and shown (sync=false); in-time: both wait for the latency that the "
        "elements declare (sync=true) (default: both)",
    )
    add("--seconds", type=number, default=20, help="of a run, without its start (default: 20)")
    add("--settle", type=number, default=4, help="seconds at the start of a run that do not count (default: 4)")
    add("--turns", type=number, default=3, help="runs of each (default: 3)")
    add("--size", type=size, default=(256, 256), help="of the picture, 256x128 or more (default: 256x256)")
    add("--fps", type=number, default=30, help="frames per second (default: 30)")
    add("--key-interval", type=count, default=30, help="frames from one key frame to the next (default: 30)")
    add("--latency", type=count, default=20, help="of rtpjitterbuffer, in ms (default: 20)")
    add("--send-at-once", action="store_true", help="in-time only for the receiver")
    add("--no-queue", action="store_true", help="no queue behind the decoder")
    add("--encoder", default="", help='properties of vidtokenc, as "threads=1"')
    add("--decoder", default="", help="properties of vidtokdec")
    add("--clip", type=Path, help="the camera's video (default: examples/signing.mp4)")
    add("--output", type=Path, default=Path(), metavar="DIR", help="folder for the report (default: the current one)")
    return parser.parse_args(words)


def number(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return int(text)


def some(names: Sequence[str]) -> "type[tuple[str, ...]]":
    def read(text: str) -> tuple[str, ...]:
        if unknown := set(text.split(",")) - set(names):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
        return tuple(text.split(","))

    return read


def size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    width, height = map(int, found.groups()) if found else (0, 0)
    # The number in the picture needs that much.
    if width < 256 or height < 128 or width % 4 or height % 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT of 256x128 or more, in fours and twos")
    return width, height


if __name__ == "__main__":
    parse()
