#!/usr/bin/env python3
"""Makes the graphs of a tokenizer folder for a CPU use the plugin's convolutions: `python3 convolutions.py FOLDER`.

For folders that were exported before the plugin had any, where the checkpoint is not at hand. Weights and digest stay,
and so do the tokens but for those that lie on a rounding tie.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    # Imported here, so that the text above needs no package.
    from vidtok_export import convolutions

    folder = Path(sys.argv[1])
    try:
        variants = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["variants"]
        names = [variant[role] for variant in variants if variant["target"] == "cpu" for role in ("encoder", "decoder")]
        for name in dict.fromkeys(names):
            count = convolutions.rewrite_file(folder / name)
            print(f"{folder / name}: {count} operators put in" if count else f"{folder / name}: nothing to change")
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"convolutions.py: {folder}: {error}")


if __name__ == "__main__":
    main()
