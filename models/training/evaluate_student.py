"""Compare a student, which learned a teacher's tokens, with that teacher on a folder of videos.

    python3 models/training/evaluate_student.py STUDENT TEACHER --data DIR --output DIR

Both are tokenizer folders; their graphs run step by step on the centre of each video's first frames. Writes
figures.json:

- tokens: the share of tokens in which the student's encoder agrees with the teacher's: whole tokens, each channel, and
  within one level. Beside it stand the shares of a random guess and of the best constant for these tokens;
- frames: PSNR of every pair of encoder and decoder, and of each video's mean colour.
"""

import argparse
from pathlib import Path

import needed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path, help="its tokenizer folder, as to_onnx.py writes it")
    parser.add_argument("teacher", type=Path, help="its teacher's tokenizer folder")
    parser.add_argument("--data", type=Path, required=True, help="folder of videos not trained on")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=49, help="1 + 4k (default: 49)")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    with needed.packages():
        import agreement
    agreement.run(arguments)


if __name__ == "__main__":
    main()
