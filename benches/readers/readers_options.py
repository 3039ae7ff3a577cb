"""The options of `benches/readers.sh`. Needs only Python, so that wrong ones are refused before anything is built."""

import argparse
from pathlib import Path

DESCRIPTION = """Compares the built-in tokenizer's tokens of video files with those of the frames that PyAV reads.
Prints a row per kind of video: how many tokens differ in pipelines with videoconvert and videoscale, and in those in
which vidtokenc converts and resizes by itself; at the video's own size, and at 256x256 as VidTok reads videos."""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benches/readers.sh", description=DESCRIPTION)
    parser.add_argument("clips", type=Path, help="a folder of videos")
    parser.add_argument("--frames", type=int, default=17, help="frames of each video that are compared (default: 17)")
    options = parser.parse_args()
    if not options.clips.is_dir():
        parser.error(f"{options.clips}: no such folder")
    return options


if __name__ == "__main__":
    parse()
