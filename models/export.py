#!/usr/bin/env python3
"""Makes a tokenizer for vidtokenc and vidtokdec from a VidTok checkpoint.

The output folder gets encoder.onnx, decoder.onnx and tokenizer.json. Further runs add graphs to it: encoder.fp16.onnx
and decoder.fp16.onnx with --precision fp16, encoder.gpu.onnx and decoder.gpu.onnx with --target gpu. PyTorch is not
needed, and no code from the checkpoint runs.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path

from vidtok_export.variants import PRECISIONS, TARGETS

PUBLISHED = Path(__file__).with_name("published.json")


def main() -> None:
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    parser = arguments()
    options = parser.parse_args()
    if options.list:
        try:
            list_published(published)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader, such as `head`, has closed the pipe. Python would report that again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    missing = [f"--{name}" for name in ("config", "checkpoint", "output") if getattr(options, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} needed")
    for option in ("config", "checkpoint"):
        # Checked before the name, which comes from the configuration's file name.
        if not getattr(options, option).exists():
            parser.error(f"--{option} {getattr(options, option)}: no such file")
    name = options.name or options.config.stem
    licence = options.licence or ("MIT" if name in published else None)
    if licence is None:
        parser.error(f"{name} is not a published model: state the licence of its weights with --licence")
    export(options, name, licence)


def export(options: argparse.Namespace, name: str, licence: str) -> None:
    # Imported here, so that --help and --list need no package.
    try:
        from vidtok_export import architecture, build, checkpoint
        from vidtok_export.weights import WeightsError
    except ModuleNotFoundError as error:
        requirements = Path(__file__).with_name("requirements.txt")
        sys.exit(
            f"The Python package of {error.name!r} is missing; install what is needed:\n"
            f"  {sys.executable} -m pip install -r {requirements}"
        )
    try:
        configuration = architecture.load(options.config)
        tensors = checkpoint.read(options.checkpoint)
        description = build.export(
            configuration,
            tensors,
            options.output,
            name,
            licence,
            options.test_outputs,
            options.precision,
            options.target,
            options.streams,
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
    parser.add_argument("--licence", help="the weights' licence, an SPDX identifier (published models: MIT)")
    parser.add_argument(
        "--target",
        default="cpu",
        choices=TARGETS,
        help="what the graphs are made for (default: cpu). gpu: CUDA and TensorRT, several streams per run",
    )
    parser.add_argument(
        "--streams",
        type=stream_count,
        metavar="N",
        help="streams per run, with --target gpu (default: set when the graph is loaded)",
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        choices=PRECISIONS,
        help="the graphs' numbers (default: fp32). fp16 halves files and states; some tokens then differ",
    )
    parser.add_argument(
        "--test-outputs", action="store_true", help="add outputs: before quantizing (z), before clamping (recon)"
    )
    parser.add_argument("--list", action="store_true", help="list the published models and exit")
    return parser


def stream_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of streams, 1 or more")
    return int(text)


def list_published(models: dict[str, dict]) -> None:
    """Print each model's time × height × width compression, its tokens, their rate, and its published quality."""
    headings = ("name", "family", "factors", "tokens", "kbit/s", "PSNR/dB", "SSIM", "LPIPS", "FVD")
    layout = "{:37} {:11} {:8} {:15} {:>7} {:>7} {:>5} {:>5} {:>6}"
    print(layout.format(*headings))
    for name, model in models.items():
        space, codes = model["space_factor"], math.prod(model.get("levels", ()))
        factors = f"{model['time_factor']}×{space}×{space}"
        tokens = f"FSQ {codes:,}" if codes > 1 else f"KL {model['z_channels']} channels"
        published = model.get("published", {})
        quality = [
            f"{published[key]:.{digits}f}" if key in published else "–"
            for key, digits in (("psnr_db", 2), ("ssim", 3), ("lpips", 3), ("fvd", 1))
        ]
        rate = f"{kilobits_per_second(model):,.0f}"
        print(layout.format(name, model["family"], factors, tokens, rate, *quality))
    print("kbit/s: at 256×256 pixels and 30 frames per second, KL in float16. –: not published.")


def kilobits_per_second(model: dict) -> float:
    """Rate of a model's tokens at 256×256 pixels and 30 frames per second."""
    fsq = model["regularizer"] == "fsq"
    bits = math.log2(math.prod(model["levels"])) if fsq else 16 * model["z_channels"]
    return 30 / model["time_factor"] * (256 / model["space_factor"]) ** 2 * bits / 1000


if __name__ == "__main__":
    main()
