"""The second part: milliseconds per frame, memory, and where the time goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from . import tokenizers, trace
from .checks import SMALL, compare, export, model, usable
from .runner import Case, Context, Failed, Lacking

SIZE = 256
STEPS = 30
ROLES = ("encoder", "decoder")
# Options of ONNX Runtime's CUDA provider that the plugin sets otherwise: whether it is right.
VARIANTS = {
    "channels-first": "prefer_nhwc=0",
    "heuristic-search": "cudnn_conv_algo_search=HEURISTIC",
    "small-workspace": "cudnn_conv_use_max_workspace=0",
    "fused-bias": "fuse_conv_bias=1",
}


def cases(provider: str) -> list[Case]:
    wide = "ch128"
    return [
        Case("export/ch128", partial(export, names=("ch128",)), 40, record={"table": "other"}),
        compare(wide, "fp16", 128, 3),
        *(streams(wide, "fp16", 1, 0, role) for role in ROLES),
        *(element(wide, role) for role in ROLES),
        *(streams("built-in", "fp32", 1, 0, role) for role in ROLES),
        *(profile(wide, role, kind) for kind in ("plain", "cuda-graph", "trace") for role in ROLES),
        *(streams(wide, "fp16", count, count, role) for count in (4, 16) for role in ROLES),
        *(streams(wide, "fp32", 1, 0, role) for role in ROLES),
        compare(wide, "fp32", 128, 3),
        *(streams("built-in", "fp32", count, 0, role) for count in (4, 16) for role in ROLES),
        *(streams(wide, "fp16", 4, 0, role) for role in ROLES),
        *(profile(wide, role, kind) for kind in VARIANTS for role in ROLES),
        *(streams(wide, "fp32", count, count, role) for count in (4, 16) for role in ROLES),
    ]


def size(context: Context) -> int:
    return SMALL if context.kit.small else SIZE


def steps(context: Context) -> int:
    return 3 if context.kit.small else STEPS


def folder_of(name: str, precision: str) -> str:
    return f"{name}{tokenizers.HALF}" if precision == "fp16" else name


def streams(name: str, precision: str, count: int, batch: int, role: str, prefix: str = "time") -> Case:
    """`count` streams, in a batch or sharing a session; by `benches/parallel.rs`."""
    how = "" if count == 1 else " batched" if batch else " shared"

    def run(context: Context) -> Mapping[str, Any]:
        provider = usable(context)
        words = [*context.kit.command("parallel"), "--case", *model(context, folder_of(name, precision))]
        words += ["--role", role, "--size", size(context), "--networks", count, "--threads", 0]
        words += ["--provider", provider, "--batch", batch, "--steps", steps(context)]
        result = context.json(words)
        per_frame = 1000 / result["frames-per-second"]
        text = f"{per_frame:.2f} ms per frame, {result['frames-per-second']:.0f} frames per second"
        return {
            "result": result,
            "text": text,
            "ms-per-frame": per_frame,
            "row": [provider, name, precision, f"{count}{how}"],
        }

    parts = [prefix, name, precision, f"{count}{how.replace(' ', '-')}", role]
    return Case("/".join(parts), run, 20, record={"table": "speed", "role": role})


def element(name: str, role: str) -> Case:
    """In a pipeline, in float16; by `benches/steps.rs`."""

    def run(context: Context) -> Mapping[str, Any]:
        provider = usable(context)
        graph = Path(model(context, name)[1]) / f"{role}.gpu.fp16.onnx"
        tokens = context.kit.work / f"{name}-fp16.vidtok"
        words = [*context.kit.command("steps"), "--role", role, "--via", "element", "--model", graph]
        words += ["--size", size(context), "--steps", steps(context), "--provider", provider]
        if role == "decoder":
            words += ["--input", made_tokens(context, tokens)]
        result = context.json([*words, *(["--output", tokens] if role == "encoder" else [])])
        per_frame = [time / result["step-frames"] for time in result["step-ms"]]
        result["step-ms"] = [round(time, 3) for time in result["step-ms"]]
        return {
            "result": result,
            "text": f"{median(per_frame):.2f} ms per frame (median), {max(per_frame):.2f} at most",
            "ms-per-frame": median(per_frame),
            "row": [provider, name, "fp16", "1, in a pipeline"],
        }

    return Case(f"element/{name}/fp16/{role}", run, 20, record={"table": "speed", "role": role})


def made_tokens(context: Context, path: Path) -> Path:
    if not path.is_file():
        raise Failed("the encoder of the case before wrote no tokens")
    return path


def profile(name: str, role: str, kind: str) -> Case:
    """The graph alone with everything on the device: plain, as a CUDA graph, with a profile, or with another option."""

    def run(context: Context) -> Mapping[str, Any]:
        provider = usable(context)
        if kind not in ("plain", "trace") and provider != "cuda":
            raise Lacking("CUDA graphs, and options of the CUDA provider, are for CUDA")
        words = [*context.kit.command("probe"), "profile", *model(context, name), "--precision", "fp16"]
        words += ["--role", role, "--size", size(context), "--steps", steps(context), "--provider", provider]
        words += ["--cuda-graph"] if kind == "cuda-graph" else []
        words += ["--provider-option", VARIANTS[kind]] if kind in VARIANTS else []
        words += ["--trace", context.kit.work / f"trace-{role}"] if kind == "trace" else []
        result = context.json(words)
        text = f"{result['median-ms']:.2f} ms per step of {result['frames']} frames"
        if result["trace"]:
            path = Path(result.pop("trace"))
            result["profile"] = trace.summary(json.loads(path.read_text()), steps(context) + WARM_RUNS)
            path.unlink()
            text += f"; longest: {longest(result['profile'])}"
        return {"result": result, "text": text}

    return Case(f"graph/{name}/fp16/{kind}/{role}", run, 20, record={"table": "other"})


# As in `probe`: they are in the profile, too.
WARM_RUNS = 3


def longest(profile: Mapping[str, Any]) -> str:
    times = profile["kernels-ms"] or profile["nodes-ms"]
    return ", ".join(f"{name} {time:.2f}" for name, time in list(times.items())[:5])
