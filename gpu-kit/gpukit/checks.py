"""The first part: whether a provider gives what the CPU gives."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from . import machine, packages, results, tokenizers
from .kit import Kit
from .runner import Case, Context, Failed, Lacking

EXPORTER = ("numpy", "onnx", "onnx_ir")
FRAMES = 21
# Pixels a side in a rehearsal.
SMALL = 32
# The first case that uses the provider.
FIRST = "compare/built-in"
# What the plugin logs where the device's memory, or memory that both reach, cannot be had.
IN_CPU_MEMORY = "Keeping tensors in the CPU's memory"


def cases(provider: str) -> list[Case]:
    compared = [
        compare("built-in", None, 256, 5),
        *(compare(name, precision, 64, 5) for name in tokenizers.NARROW[:3] for precision in ("fp32", "fp16")),
        *(compare("ch32", precision, 128, 4) for precision in ("fp32", "fp16")),
    ]
    return [
        Case("machine", look_at_machine, 1),
        compared[0],
        Case("pipeline", pipeline, 10, record={"table": "other"}),
        Case("export/narrow", partial(export, names=tokenizers.NARROW), 30, record={"table": "other"}),
        *compared[1:],
        together("narrow-v1_1", "fp32", batch=4),
        together("narrow-v1_1", "fp16", batch=4),
        together("narrow-v1_1", "fp32", batch=0),
        together("narrow-noncausal", "fp32", batch=4),
        together("built-in", None, batch=0),
    ]


def look_at_machine(context: Context) -> Mapping[str, Any]:
    found = machine.describe(context.kit)
    return {"result": found, "text": machine.summary(found)}


def export(context: Context, names: tuple[str, ...]) -> Mapping[str, Any]:
    kit = context.kit
    wheels = packages.unpack(kit.root / "wheels", EXPORTER, kit.work / "packages")
    missing = packages.missing(EXPORTER, wheels)
    if missing:
        raise Lacking(f"the exporter needs {', '.join(missing)}; neither {packages.python()} has them nor the kit")
    size = "small" if kit.small else "whole"
    command = [sys.executable, "-m", "gpukit.tokenizers", kit.tokenizers, size, *names]
    context.call(command, kit.python_environment(*([wheels] if wheels else [])))
    return {"text": ", ".join(names)}


def model(context: Context, name: str) -> list[str]:
    """The options that name a tokenizer."""
    if name == "built-in":
        return []
    folder = context.kit.tokenizers / name
    if not (folder / "tokenizer.json").is_file():
        raise Lacking(f"the tokenizer {name} was not exported")
    return ["--model", str(folder)]


def needs(kit: Kit) -> str | None:
    """Which libraries the provider lacks, in a line; nothing, where it ran although they were not found."""
    record = results.merge(results.read(kit.results)).get(FIRST, {})
    ran = record.get("status") == results.OK and record.get("provider") == kit.provider
    return None if ran else kit.lacking(kit.provider)


def usable(context: Context) -> str:
    """The provider, where its libraries are there. The first case runs anyway: the plugin then says what is wrong."""
    lacking = needs(context.kit)
    if lacking and context.case.name != FIRST:
        raise Lacking(lacking)
    return context.kit.provider


def compare(name: str, precision: str | None, size: int, steps: int, prefix: str = "compare") -> Case:
    def run(context: Context) -> Mapping[str, Any]:
        provider = usable(context)
        words = [*context.kit.command("probe"), "compare", *model(context, name), "--provider", provider]
        words += ["--size", min(size, SMALL) if context.kit.small else size, "--steps", steps]
        words += ["--precision", precision] if precision else []
        result = context.json(words)
        what = f"{precision or 'fp32'}, {result['size']}×{result['size']}"
        memory = ", TENSORS IN THE CPU'S MEMORY" if IN_CPU_MEMORY in context.log.read_text(errors="replace") else ""
        return {"result": result, "text": f"{what}: {compared(result)}{memory}"}

    record = {"table": "hardware", "what": f"{name}, tokens and pictures beside the CPU's"}
    return Case("/".join(filter(None, [prefix, name, precision])), run, 15, record=record)


def compared(result: Mapping[str, Any]) -> str:
    """What `probe` found, in words."""
    encoder, decoder = result["encoder"], result["decoder"]
    parts = [tokens(encoder), pictures(decoder)]
    elsewhere = {part["running"]["elsewhere"] for part in (encoder, decoder)} - {None}
    parts += [f"elsewhere {', '.join(sorted(elsewhere))}"] if elsewhere else []
    return ", ".join(parts)


def tokens(found: Mapping[str, Any]) -> str:
    if "tokens" not in found:
        return f"numbers off by {shown(found['relative-error'])}"
    if not found["differing"]:
        return f"all {found['tokens']:,} tokens"
    near = found["by-one-level"]
    return f"{found['differing']:,} of {found['tokens']:,} tokens differ ({near:,} by one level)"


def pictures(found: Mapping[str, Any]) -> str:
    if not found["differing"]:
        return "pictures the same"
    return f"pictures {found['largest-difference']} grey levels apart at most, {found['psnr']:.1f} dB"


def shown(value: object) -> str:
    return f"{value:.1e}" if isinstance(value, float) else str(value)


def together(name: str, precision: str | None, batch: int, streams: int = 4) -> Case:
    how = "batched" if batch else "shared"

    def run(context: Context) -> Mapping[str, Any]:
        words = [*context.kit.command("probe"), "together", *model(context, name), "--provider", usable(context)]
        words += ["--size", SMALL if context.kit.small else 64, "--steps", 5, "--streams", streams, "--batch", batch]
        words += ["--precision", precision] if precision else []
        result = context.json(words)
        encoder, decoder = result["encoder"], result["decoder"]
        a_run = f"{encoder['streams-a-run']:.1f} and {decoder['streams-a-run']:.1f} streams per run"
        return {"result": result, "text": f"{precision or 'fp32'}: {tokens(encoder)}, {pictures(decoder)}, {a_run}"}

    record = {"table": "hardware", "what": f"{name}, {streams} streams {how}, beside each alone"}
    return Case("/".join(filter(None, ["together", name, precision, how])), run, 20, record=record)


def pipeline(context: Context) -> Mapping[str, Any]:
    """A launch line with the plugin's elements: raw tokens, and pictures, by the provider and by the CPU."""
    provider = usable(context)
    folder = context.kit.work / "pipeline"
    folder.mkdir(parents=True, exist_ok=True)
    made = {name: launch(context, name, folder / name) for name in dict.fromkeys(("cpu", provider))}
    ours, theirs = (made[name][0] for name in (provider, "cpu"))
    if len(ours) != len(theirs) or not ours:
        raise Failed(f"{len(ours)} bytes of tokens, and {len(theirs)} by the CPU")
    if len(made[provider][1]) != len(made["cpu"][1]):
        raise Failed("the pictures' sizes differ")
    differing = sum(a != b for a, b in zip(words(ours), words(theirs)))  # noqa: B905 (Python 3.9)
    return {"text": f"gst-launch-1.0: {differing} of {len(ours) // 2} tokens differ from the CPU's"}


def words(data: bytes) -> list[int]:
    """The built-in tokenizer's raw tokens: 16 bits each."""
    return list(memoryview(data).cast("H"))


def launch(context: Context, provider: str, stem: Any) -> tuple[bytes, bytes]:
    raw, frames = stem.with_suffix(".raw"), stem.with_suffix(".rgb")
    option = f"execution-provider={provider}"
    line = f"videotestsrc num-buffers={FRAMES} pattern=ball ! video/x-raw,format=RGB,width=128,height=96 ! "
    line += f"vidtokenc {option} ! video/x-vidtok,stream-format=raw ! tee name=t "
    line += f"t. ! queue ! filesink location={raw} t. ! queue ! vidtokdec {option} ! filesink location={frames}"
    context.call([*context.kit.command("gst-launch-1.0"), "-q", *line.split()])
    return raw.read_bytes(), frames.read_bytes()
