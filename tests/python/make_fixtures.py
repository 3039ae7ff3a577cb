"""Writes the tokenizers and golden arrays that the Rust tests read: `python3 make_fixtures.py OUT_DIR`.

- `golden_*/`: tokenizers of width 16 and, in `golden/`, the reference's results for them, as plain little-endian
  arrays in C order with their shapes in `shape.json`;
- `tiny_v1_1/`: a narrower tokenizer, for tests that need no reference;
- `toy/`: a tokenizer whose graphs run several streams; `toy_wrong/`: the same, but its decoder gives more than it says;
  `toy_mixed/`: its encoder has an operator that OpenVINO does not run; `toy_floats/`: its encoder takes floats;
  `toy_float_edge/`: its decoder takes `edge` as a number, as earlier exports do.
- `golden_bytes/`: the first of the golden ones, with an encoder that takes bytes, as earlier exports do.
"""

import json
import shutil
import sys
from pathlib import Path

import byte_input
import toy
from golden import DATA, Golden, configuration, weights
from vidtok_export import build

GOLDEN = {
    "golden_fsq_v1_1": "vidtok_fsq_causal_488_32768_v1_1",
    "golden_fsq_v1_1_888": "vidtok_fsq_causal_888_32768_v1_1",
    "golden_fsq_noncausal": "vidtok_fsq_noncausal_488_262144",
    "golden_kl_v1_0": "vidtok_kl_causal_488_4chn",
}
TINY = "vidtok_fsq_causal_488_32768_v1_1"
DTYPES = {"frames": ("u8", "u1"), "indices": ("i32", "<i4")}  # all others are floats


def main(out: Path) -> None:
    for folder, name in GOLDEN.items():
        golden = Golden(DATA / "golden" / f"{name}.npz")
        golden.export(out / folder, test_outputs=False)
        write_arrays(golden, out / folder / "golden")
    shutil.copytree(out / next(iter(GOLDEN)), out / "golden_bytes", dirs_exist_ok=True)
    byte_input.rewrite(out / "golden_bytes" / "encoder.onnx")

    tiny = configuration(TINY, ch=8)
    build.export(tiny, weights(tiny, seed=2), out / "tiny_v1_1", "tiny_v1_1", "MIT")

    toy.export(out / "toy", "toy")
    toy.export(out / "toy_wrong", "toy_wrong", cell=2 * toy.CELL)
    toy.export(out / "toy_mixed", "toy_mixed", mixed=True)
    toy.export(out / "toy_floats", "toy_floats", floats=True)
    toy.export(out / "toy_float_edge", "toy_float_edge", float_edge=True)


def write_arrays(golden: Golden, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {}
    for name in sorted(golden.arrays.keys() - {"meta"}):
        array = golden.arrays[name]
        suffix, dtype = DTYPES.get(name, ("f32", "<f4"))
        (folder / f"{name}.{suffix}").write_bytes(array.astype(dtype).tobytes())
        shapes[name] = list(array.shape)
    (folder / "shape.json").write_text(json.dumps(shapes) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
