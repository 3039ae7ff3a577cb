#!/usr/bin/env python3
"""Measures all cases in turns and writes the report. `benches/run.sh` runs it with the options of `options.py`."""

import json
import os
import statistics
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import graphs
import machine
import options as option_parser
import report
from peer import Peer, without_tuning

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.append(str(ROOT / "python"))

import vidtok_stream  # noqa: E402

ROLES = ("encoder", "decoder")
CH = {"ch32": 32, "ch128": 128}
FACTOR = 4
# Frames of the clip that encoders get, in a loop.
CLIP_FRAMES = 33
CLIP_SEED = 7


@dataclass(frozen=True)
class Case:
    """A graph at a picture size, with its files."""

    options: Namespace
    programs: Mapping[str, str]
    tokenizer: str
    size: int
    role: str
    folder: Path

    @property
    def threads(self) -> int:
        return self.options.threads or machine.cores()

    @property
    def steps(self) -> int:
        return option_parser.steps(self.options, self.tokenizer)

    @property
    def model(self) -> Path | None:
        return self.folder / self.tokenizer if self.tokenizer in CH else None

    @property
    def clip(self) -> Path:
        return self.folder / f"clip-{self.size}.rgb"

    @property
    def tokens(self) -> Path:
        """The clip, encoded."""
        return self.folder / f"{self.tokenizer}-{self.size}.vidtok"

    def run(self, via: str, steps: int, output: Path | None = None) -> dict:
        """Run a turn in a process of its own; return its figures."""
        kind, *half = via.split()
        model = self.model
        if model and half:
            model = model / f"{self.role}.gpu.fp16.onnx"
        words = {
            "role": self.role,
            "via": kind,
            "model": model,
            "size": self.size,
            "steps": steps,
            "threads": self.threads,
            "provider": self.options.provider,
            "input": self.clip if self.role == "encoder" else self.tokens,
            "output": output,
        }
        return json.loads(call(self.programs["steps"], words))

    def runs(self) -> list[str]:
        if self.options.provider == "cpu":
            return ["element", "bare"]
        return ["element", "element fp16"] if self.model else ["element"]


def main() -> None:
    options = option_parser.parse()
    folder = Path(os.environ["BENCHMARK_FOLDER"])
    programs = built(folder / "build.json")
    if options.reference:
        # Fails now and not after an hour.
        imports = "import torch, vidtok.modules.model_3dcausal_v1_1, vidtok.modules.regularizers"
        call(options.reference_python, ["-c", f"import sys; sys.path.insert(0, {str(options.reference)!r}); {imports}"])
    if options.provider == "tensorrt":
        # The reference and the other providers do not round to TF32 either.
        os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")
    options.output.mkdir(parents=True, exist_ok=True)
    whole = {
        "machine": machine.describe() | {"threads": options.threads or machine.cores()},
        "versions": {},
        "options": vars(options),
        "cases": [],
        "parallel": [],
    }
    for case in cases(options, programs, folder):
        whole["cases"].append(measure(case))
        whole["versions"] = versions(whole["cases"])
        write(whole, options.output)
    if not options.no_networks and "embedded" in options.only:
        for role in ROLES:
            whole["parallel"].append(measure_parallel(options, programs, folder, role))
    print(f"\n{write(whole, options.output)}\nWritten: benchmark.json and benchmark.md in {options.output.resolve()}")


def write(whole: Mapping[str, object], folder: Path) -> str:
    """Write and return the report of all cases so far: a later case may fail."""
    written = report.markdown(whole)
    (folder / "benchmark.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False, default=str) + "\n")
    (folder / "benchmark.md").write_text(written)
    return written


def cases(options: Namespace, programs: Mapping[str, str], folder: Path) -> Iterator[Case]:
    """All cases. Encoders come first, as decoders read their tokens."""
    for tokenizer in options.only:
        if tokenizer in CH:
            say(f"Exporting {tokenizer}")
            graphs.export(CH[tokenizer], folder / tokenizer, options.provider != "cpu")
        for size in option_parser.sizes(options, tokenizer):
            for role in ROLES:
                case = Case(options, programs, tokenizer, size, role, folder)
                if role == "encoder":
                    prepare(case)
                yield case


def prepare(case: Case) -> None:
    """Write the clip, and tokens for the decoder: one step more than it runs, and all of the reference's clip."""
    frames = max(CLIP_FRAMES, case.options.reference_frames)
    graphs.golden.recipe.frames(frames, case.size, case.size, CLIP_SEED).tofile(case.clip)
    case.run("element", max(case.steps, latent_frames(case.options)), case.tokens)


def latent_frames(options: Namespace) -> int:
    """Latent frames of the reference's clip."""
    return 1 + (options.reference_frames - 1) // FACTOR


def measure(case: Case) -> dict[str, object]:
    """Measure one case; everything that is compared takes turns."""
    say(f"{case.tokenizer} {case.role}, {case.size}×{case.size}")
    cpu = case.options.provider == "cpu"
    runs = {via: [] for via in case.runs()}
    products: list[float] = []
    with ExitStack() as stack:
        peer = reference(case, stack)
        for _ in range(case.options.repeats):
            for via, turns in runs.items():
                turns.append(case.run(via, case.steps))
            if cpu:
                products.append(float(call(sys.executable, [HERE / "sgemm.py"], without_tuning(case.threads))))
            if peer:
                peer.turn()
        referred = peer.figures() if peer else None
        if peer:
            compare(case, peer, referred["modes"])
    gflop = graphs.gflop((case.model or graphs.EMBEDDED) / f"{case.role}.onnx", case.size) if cpu else None
    named = {"tokenizer": case.tokenizer, "size": case.size, "role": case.role}
    return named | result(runs, products, gflop, referred)


def result(
    runs: Mapping[str, Sequence[dict]], products: Sequence[float], gflop: float | None, referred: dict | None
) -> dict[str, object]:
    """Figures from turns, matrix products in GFLOP/s, the graph's GFLOP per step and the reference's modes."""
    first = next(iter(runs.values()))[0]
    figures: dict[str, object] = {
        "versions": {key: first[key] for key in ("plugin", "gstreamer")},
        "runs": {via: run_figures(turns) for via, turns in runs.items()},
        "reference": referred,
    }
    if gflop is not None:
        bare, element = (figures["runs"][via]["mean-ms"] for via in ("bare", "element"))
        # The faster of the two libraries, so that the share is not too high.
        product = max([statistics.median(products), *filter(None, [(referred or {}).get("sgemm-gflops")])])
        gflops = gflop / element * 1e3
        figures |= {"gflop": gflop, "gflops": gflops, "sgemm-gflops": product, "share": gflops / product}
        figures["ratio-to-bare"] = element / bare
    for mode, theirs in (referred or {}).get("modes", {}).items():
        if "mean-ms" in theirs:
            theirs["ratio"] = theirs["mean-ms"] / figures["runs"][element_beside(mode)]["mean-ms"]
    return figures


def run_figures(turns: Sequence[dict]) -> dict[str, object]:
    medians = {key: statistics.median(turn[key] for turn in turns) for key in ("start-ms", "peak-mib")}
    return report.summary([turn["step-ms"] for turn in turns], turns[0]["step-frames"]) | medians


def reference(case: Case, stack: ExitStack) -> Peer | None:
    """VidTok's own code for the same work, warmed up; `None` for the embedded tokenizer, which VidTok does not have."""
    options = case.options
    if options.reference is None or case.model is None:
        return None
    given = case.clip
    if case.role == "decoder":
        given = case.folder / "tokens.npy"
        np.save(given, vidtok_stream.read(case.tokens).tokens[: latent_frames(options)])
    config = case.folder / f"{case.tokenizer}.json"
    config.write_text(json.dumps(graphs.golden.document(graphs.NAME, CH[case.tokenizer])))
    device = "cpu" if options.provider == "cpu" else "cuda"
    modes = ["eager"] if options.no_compile else ["eager", "compile"]
    if device == "cuda":
        modes += [f"{mode} fp16" for mode in modes]
    words = {
        "checkout": options.reference,
        "config": config,
        "input": given,
        "role": case.role,
        "device": device,
        "size": case.size,
        "frames": options.reference_frames,
        "seed": graphs.SEED,
        "threads": case.threads,
        "output": case.folder / "result.npy",
    }
    command = [options.reference_python, HERE / "reference.py", *options_of(words)]
    log = case.folder / f"reference-{case.tokenizer}-{case.role}.log"
    return stack.enter_context(Peer(command, modes, without_tuning(case.threads), log, words["output"]))


def element_beside(mode: str) -> str:
    """The run to compare a mode of the reference with: "element fp16" for "compile fp16"."""
    return "element" + mode.removeprefix(mode.split()[0])


def compare(case: Case, peer: Peer, modes: Mapping[str, dict]) -> None:
    """Add to each mode how many tokens or pixel values differ from the element's."""
    count = latent_frames(case.options)
    # The element's stream continues after the reference's clip, so the pictures of the last latent frame may differ.
    kept = count if case.role == "encoder" else 1 + FACTOR * (count - 2)
    own: dict[str, np.ndarray] = {}
    for mode, figures in modes.items():
        theirs = peer.result(mode)
        if theirs is None:
            continue
        via = element_beside(mode)
        if via not in own:
            own[via] = element_result(case, via, count)
        ours, theirs = own[via][:kept], theirs[:kept]
        if ours.shape != theirs.shape:
            raise SystemExit(f"benchmark.py: the reference's result has the shape {theirs.shape}, not {ours.shape}")
        distance = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
        differing = f"{np.count_nonzero(distance)} of {distance.size:,}"
        if case.role == "encoder":
            figures["differing"] = f"{differing} tokens"
        else:
            figures["differing"] = f"{differing} values of pixels, by {distance.max()} at most"


def element_result(case: Case, via: str, steps: int) -> np.ndarray:
    """The element's tokens [t, h, w] or pictures [T, H, W, 3], of at least `steps` steps."""
    output = case.folder / "result.bin"
    case.run(via, steps, output)
    if case.role == "encoder":
        return vidtok_stream.read(output).tokens
    return np.fromfile(output, np.uint8).reshape(-1, case.size, case.size, 3)


def measure_parallel(options: Namespace, programs: Mapping[str, str], folder: Path, role: str) -> dict:
    """Measure parallel networks of the embedded tokenizer, with one thread each and with the threads of a case."""
    say(f"Parallel networks: {role}")
    path = folder / f"parallel-{role}.json"
    words = {
        "role": role,
        "size": option_parser.sizes(options, "embedded")[0],
        "networks": ",".join(map(str, options.networks)),
        "threads": ",".join(map(str, sorted({1, options.threads or machine.cores()}))),
        "provider": options.provider,
        "steps": option_parser.steps(options, "embedded"),
        "repeats": options.repeats,
        "json": path,
    }
    call(programs["parallel"], words)
    return json.loads(path.read_text())


def built(messages: Path) -> dict[str, str]:
    """The paths of the benchmarks' programs, from Cargo's messages."""
    programs = {}
    for line in messages.read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        if message.get("executable") and "bench" in message["target"]["kind"]:
            programs[message["target"]["name"]] = message["executable"]
    return programs


def versions(results: Sequence[dict]) -> dict[str, str]:
    """The versions of the measured software."""
    element = results[0]["versions"]
    named = {
        "gst-vidtok": element["plugin"],
        "ONNX Runtime": machine.onnxruntime(Path(os.environ["ORT_DYLIB_PATH"])),
        "GStreamer": element["gstreamer"].removeprefix("GStreamer "),
    }
    torch = next((result["reference"]["torch"] for result in results if result["reference"]), None)
    return named | ({"PyTorch": torch} if torch else {})


def options_of(words: Mapping[str, object]) -> list[str]:
    return [text for key, value in words.items() if value is not None for text in (f"--{key}", str(value))]


def call(program: str, words: Mapping[str, object] | Sequence[object], environment: Mapping | None = None) -> str:
    """Run a program and return what it prints; exit if it fails."""
    arguments = options_of(words) if isinstance(words, Mapping) else map(str, words)
    command = [program, *arguments]
    try:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit(f"benchmark.py: {program}: {error.strerror}")
    if done.returncode:
        sys.exit(f"benchmark.py: failed ({done.returncode}): {' '.join(command)}")
    return done.stdout


def say(what: str) -> None:
    print(f"==> {what}", flush=True)


if __name__ == "__main__":
    main()
