#!/usr/bin/env python3
"""Makes a tokenizer for vidtokenc and vidtokdec from a VidTok checkpoint.

The output folder gets encoder.onnx, decoder.onnx and tokenizer.json; a further run with --precision fp16 adds
encoder.fp16.onnx and decoder.fp16.onnx. PyTorch is not needed, and nothing in the checkpoint is run.
"""

import argparse
import json
import math
import sys
from pathlib import Path

try:
    from vidtok_export import architecture, build, checkpoint, tokenizer
    from vidtok_export.weights import WeightsError
except ModuleNotFoundError as error:
    requirements = Path(__file__).with_name("requirements.txt")
    sys.exit(
        f"The Python package of {error.name!r} is missing; install what is needed:\n"
        f"  {sys.executable} -m pip install -r {requirements}"
    )

PUBLISHED = Path(__file__).with_name("published.json")


def main() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    parser = arguments()
    options = parser.parse_args()
    if options.list:
        list_published(published)
        return
    missing = [f"--{name}" for name in ("config", "checkpoint", "output") if getattr(options, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} needed")
    name = options.name or options.config.stem
    licence = options.licence or ("MIT" if name in published else None)
    if licence is None:
        parser.error(f"{name} is not a published model: state the licence of its weights with --licence")
    try:
        configuration = architecture.load(options.config)
        tensors = checkpoint.read(options.checkpoint)
        description = build.export(
            configuration, tensors, options.output, name, licence, options.test_outputs, options.precision
        )
    except (architecture.ConfigurationError, checkpoint.CheckpointError, WeightsError, ValueError, OSError) as error:
        sys.exit(f"export.py: {error}")
    print(f"{options.output}: {description.name}, {description.family}, digest {description.digest}")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, metavar="YAML", help="the published configuration, unchanged")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="its .ckpt or .safetensors")
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder to write")
    parser.add_argument("--name", help="the tokenizer's name (default: the configuration's file name)")
    parser.add_argument("--licence", help="of the weights, an SPDX identifier (default for published models: MIT)")
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=tokenizer.PRECISIONS,
        help="of the graphs (default: fp32). fp16 halves files and states; tokens then differ now and then",
    )
    parser.add_argument(
        "--test-outputs", action="store_true", help="add the values before quantizing (z) and before clamping (recon)"
    )
    parser.add_argument("--list", action="store_true", help="list the published models and exit")
    return parser


def list_published(models: dict[str, dict]) -> None:
    """Each model's time × height × width compression, its tokens and its published quality, where there is one."""
    print(f"{'name':40} {'family':12} {'factors':9} {'tokens':14} {'PSNR/dB':>7}")
    for name, model in models.items():
        factors = f"{model['time_factor']}×{model['space_factor']}×{model['space_factor']}"
        if model["regularizer"] == "fsq":
            tokens = f"FSQ {math.prod(model['levels']):,}"
        else:
            tokens = f"KL {model['z_channels']} channels"
        psnr = f"{model['published']['psnr_db']:.2f}" if "published" in model else "–"
        print(f"{name:40} {model['family']:12} {factors:9} {tokens:14} {psnr:>7}")


if __name__ == "__main__":
    main()
