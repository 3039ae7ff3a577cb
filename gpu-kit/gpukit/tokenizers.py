"""The tokenizers that are run: published architectures with the recipe's weights, the same on every machine.

They are exported on the target, as their weights would not compress. The exporter needs NumPy, onnx and onnx_ir.

    python3 -m gpukit.tokenizers FOLDER whole|small NAME...
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

# Of each family one. The recipe's seed is arbitrary.
PUBLISHED = {
    "narrow-v1_1": ("vidtok_fsq_causal_488_32768_v1_1", 16),
    "narrow-v1_0-kl": ("vidtok_kl_causal_488_4chn", 16),
    "narrow-noncausal": ("vidtok_fsq_noncausal_488_262144", 16),
    "ch32": ("vidtok_fsq_causal_488_32768_v1_1", 32),
    "ch128": ("vidtok_fsq_causal_488_32768_v1_1", 128),
}
NARROW = ("narrow-v1_1", "narrow-v1_0-kl", "narrow-noncausal", "ch32")
SEED = 1
HALF = "-fp16"


def export(folder: Path, name: str, small: bool) -> None:
    """Write a tokenizer's folder, and one more that has its graphs in float16 alone."""
    import golden
    from vidtok_export import build

    published, width = PUBLISHED[name]
    # A rehearsal is of the form for GPUs, also on a CPU, and a wide tokenizer's weights take gigabytes.
    width = min(width, 32) if small else width
    configuration = golden.configuration(published, width)
    weights = golden.weights(configuration, SEED)
    # A wide network's comparison runs few steps, and the form for GPUs then does for the CPU, too.
    forms = [("fp32", "gpu"), ("fp16", "gpu")] + ([] if width > 32 or small else [("fp32", "cpu")])
    for precision, target in forms:
        build.export(configuration, weights, folder / name, name, "MIT", precision=precision, target=target)
    separate_half(folder / name, folder / f"{name}{HALF}")


def separate_half(whole: Path, half: Path) -> None:
    """A folder that has a tokenizer's float16 graphs alone: what is not told which precision takes these."""
    entries = json.loads((whole / "tokenizer.json").read_text())
    entries["variants"] = [variant for variant in entries["variants"] if variant["precision"] == "fp16"]
    half.mkdir(exist_ok=True)
    for variant in entries["variants"]:
        for role in ("encoder", "decoder"):
            (half / variant[role]).unlink(missing_ok=True)
            os.link(whole / variant[role], half / variant[role])
    (half / "tokenizer.json").write_text(json.dumps(entries, indent=1) + "\n")


def main() -> None:
    folder, small, *names = sys.argv[1:]
    for name in names:
        export(Path(folder), name, small == "small")
        print(name, flush=True)


if __name__ == "__main__":
    main()
