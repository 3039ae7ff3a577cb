"""Write a trained tokenizer as a tokenizer folder: two streaming ONNX graphs and `tokenizer.json`.

    python3 models/training/to_onnx.py CHECKPOINT FOLDER --name vidtok-small-488-32768

The graphs are built operator by operator from the checkpoint's tensors, in the order of `small_network.py`, and
compared with PyTorch before they are written.

A checkpoint that was trained with a teacher makes a tokenizer for the teacher's tokens, with the teacher's digest. If
only one part was trained, the other is the teacher's own graph, from the folder that `--teacher` names.
"""

import argparse
from pathlib import Path

import needed
from shape import NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint that train.py wrote; its averaged weights are used")
    parser.add_argument("folder", type=Path, help="where to write the tokenizer")
    parser.add_argument("--name", help=f"the name to give (default: {NAME}, or the teacher's with -distilled)")
    parser.add_argument(
        "--teacher", type=Path, help="the teacher's folder, if only an encoder or only a decoder was trained"
    )
    arguments = parser.parse_args()
    with needed.packages():
        import graphs
    graphs.run(arguments)


if __name__ == "__main__":
    main()
