"""Measure a tokenizer folder: run its graphs step by step on a folder of videos and photographs.

    python3 models/training/evaluate.py FOLDER --data DIR --output DIR

Encodes and decodes the centre (256x256) of each video's first 49 frames, and each whole photograph as a stream of one
frame. Writes figures.json, and sheet.png with originals and reconstructions side by side.
"""

import argparse
from pathlib import Path

import needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a tokenizer folder, as to_onnx.py writes it")
    parser.add_argument("--data", type=Path, required=True, help="folder of videos and photographs not trained on")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=49, help="1 + 4k (default: 49)")
    parser.add_argument("--moments", type=int, default=3, help="frames of each video on the sheet (default: 3)")
    parser.add_argument("--sheet-size", type=int, help="side of the sheet's pictures, cut from the centre")
    parser.add_argument("--speed", action="store_true", help="measure speed too; the machine should be idle")
    arguments = parser.parse_args()
    with needed.packages():
        import measure
    measure.run(arguments)


if __name__ == "__main__":
    main()
