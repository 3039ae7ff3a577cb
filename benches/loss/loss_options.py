"""The options of `benches/loss.sh`. Needs only Python, so that wrong options are refused before anything is built."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

DESCRIPTION = """Measures what packet loss does to the picture: PSNR and SSIM of tokens and of H.264 at the same bit
rate, over random losses and bursts, with and without repair data. Writes loss.json, loss.md (tables) and loss.svg."""
# tokens-hold: a receiver that shows nothing new from a lost segment start to the next start, instead of concealing it.
# tokens-raptorq: with RaptorQ's repair data instead of rtpulpfecenc's, and not without.
CODERS = ("tokens", "tokens-hold", "tokens-raptorq", "h264")
DEFAULT_CODERS = ("tokens", "tokens-raptorq", "h264")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benches/loss.sh", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("clips", type=Path, help="a folder of videos of at least SIZE x SIZE pixels, which stay as they are")
    add("--output", type=Path, default=Path("loss-results"), help="folder for the results (default: loss-results)")
    default = ",".join(DEFAULT_CODERS)
    add("--coders", type=coders, default=DEFAULT_CODERS, help=f"some of {', '.join(CODERS)} (default: {default})")
    add("--rates", type=percents, default=(0, 1, 2, 5, 10, 20), help="percent of packets lost (default: 0,1,2,5,10,20)")
    add("--burst", type=float, default=3, help="mean length of a burst of losses in packets (default: 3)")
    add("--seeds", type=int, default=3, help="runs of each line (default: 3)")
    add("--key-intervals", type=numbers, default=(0, 30, 120), help="frames (default: 0,30,120)")
    add("--fec", type=numbers, default=(50, 100), help="percent of repair data (default: 50,100)")
    add("--fec-key-intervals", type=numbers, default=(0, 30, 120), help="those with repair data (default: 0,30,120)")
    add("--frames", type=int, default=150, help="frames of each clip; shorter clips run back and forth (default: 150)")
    add("--size", type=int, default=256, help="side of the square cut from the middle (default: 256)")
    add("--mtu", type=int, default=1400, help="bytes of the longest RTP packet (default: 1400)")
    add("--jitter-buffer", action="store_true", help="receive by rtpjitterbuffer: a run takes as long as its clip")
    add("--jobs", type=int, default=os.cpu_count(), help="processes at a time (default: one per core)")
    options = parser.parse_args(words)
    if options.jitter_buffer and "tokens-raptorq" in options.coders:
        parser.error("--jitter-buffer is not for tokens-raptorq: choose other --coders")
    return options


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(",") if word)


def coders(text: str) -> tuple[str, ...]:
    if unknown := set(text.split(",")) - set(CODERS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(CODERS)}")
    return tuple(text.split(","))


def percents(text: str) -> tuple[float, ...]:
    return tuple(float(word) for word in text.split(","))


if __name__ == "__main__":
    parse()
