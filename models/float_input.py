#!/usr/bin/env python3
"""Makes the encoder graphs of a tokenizer folder take float32 frames: `python3 float_input.py FOLDER`.

For folders that were exported when encoders took bytes, where the checkpoint is not at hand. Weights and digest stay,
and so do the tokens of whole numbers.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    # Imported here, so that the text above needs no package.
    from vidtok_export import float_input

    folder = Path(sys.argv[1])
    try:
        variants = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["variants"]
        for name in dict.fromkeys(variant["encoder"] for variant in variants):
            changed = float_input.rewrite(folder / name)
            print(f"{folder / name}: {'takes float32 now' if changed else 'took float32 already'}")
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"float_input.py: {folder}: {error}")


if __name__ == "__main__":
    main()
