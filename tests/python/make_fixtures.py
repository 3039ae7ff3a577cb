"""Writes the tokenizers and golden arrays that the Rust tests read: `python3 make_fixtures.py OUT_DIR`.

- `golden_fsq_v1_1/`: a tokenizer of width 16 and, in `golden/`, what the reference gives for it, as plain
  little-endian arrays in C order with their shapes in `shape.json`;
- `tiny_v1_1/`: another tokenizer of the same family, narrower, for tests in which only speed matters.
"""

import json
import sys
from pathlib import Path

from golden import DATA, Golden, configuration, weights
from vidtok_export import build

NAME = "vidtok_fsq_causal_488_32768_v1_1"
ARRAYS = {"frames": ("frames.u8", "u1"), "indices": ("indices.i32", "<i4"), "recon": ("recon.f32", "<f4")}


def main(out: Path) -> None:
    golden = Golden(DATA / "golden" / f"{NAME}.npz")
    golden.export(out / "golden_fsq_v1_1", test_outputs=False)
    write_arrays(golden, out / "golden_fsq_v1_1" / "golden")

    tiny = configuration(NAME, ch=8)
    build.export(tiny, weights(tiny, seed=2), out / "tiny_v1_1", "tiny_v1_1", "MIT")


def write_arrays(golden: Golden, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {}
    for name, (file, dtype) in ARRAYS.items():
        array = golden.arrays[name]
        (folder / file).write_bytes(array.astype(dtype).tobytes())
        shapes[name] = list(array.shape)
    (folder / "shape.json").write_text(json.dumps(shapes) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
