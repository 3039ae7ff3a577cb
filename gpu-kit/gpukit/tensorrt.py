"""The fourth part: TensorRT, where its libraries are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from .checks import compare, model
from .runner import Case, Context
from .speed import ROLES, size, streams

# Building an engine may take minutes.
BUILD_LIMIT = 500.0


def cases(provider: str) -> list[Case]:
    wide = "ch128"
    made = [
        compare("built-in", None, 256, 5, "tensorrt"),
        compare("narrow-v1_1", "fp32", 64, 5, "tensorrt"),
        compare("narrow-v1_1", "fp16", 64, 5, "tensorrt"),
        *(build(wide, role, again) for role in ROLES for again in (False, True)),
        *(streams(wide, "fp16", 1, 0, role, "tensorrt") for role in ROLES),
        compare("narrow-v1_0-kl", "fp16", 64, 5, "tensorrt"),
        compare("narrow-noncausal", "fp16", 64, 3, "tensorrt"),
    ]
    return [replace(case, run=on_tensorrt(case.run), limit=BUILD_LIMIT) for case in made]


def on_tensorrt(run: Callable[[Context], Mapping[str, Any]]) -> Callable[[Context], Mapping[str, Any]]:
    """The same case on TensorRT, float32 without TF32."""

    def wrapped(context: Context) -> Mapping[str, Any]:
        # TensorRT has TF32 on, and ONNX Runtime has no option for it.
        kit = replace(context.kit, provider="tensorrt", variables={"NVIDIA_TF32_OVERRIDE": "0"})
        inner = replace(context, kit=kit)
        result = dict(run(inner))
        context.gpu_mib = inner.gpu_mib
        return {**result, "provider": "tensorrt"}

    return wrapped


def build(name: str, role: str, again: bool) -> Case:
    """How long it takes to open a network: the first time an engine is built, the next time it is found."""

    def run(context: Context) -> Mapping[str, Any]:
        words = [*context.kit.command("probe"), "open", *model(context, name), "--precision", "fp16"]
        words += ["--role", role, "--size", size(context), "--provider", "tensorrt"]
        result = context.json(words)
        what = "with the engine in the cache" if again else "with the engine to be built"
        return {"result": result, "text": f"{result['open-seconds']:.1f} s {what}"}

    kind = "cached" if again else "build"
    return Case(f"tensorrt/{name}/fp16/{role}/{kind}", run, 60, record={"table": "other"})
