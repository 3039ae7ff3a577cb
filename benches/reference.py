"""Encodes or decodes a clip with VidTok's own PyTorch code, for `benches/benchmark.py` to compare with.

Reads commands from standard input and answers each with a line of JSON: `warm MODE`, `turn MODE`, `sgemm`,
`result MODE`. A mode is `eager` or `compile`, on a GPU also `eager fp16` and `compile fp16` (autocast). The whole clip
is processed at once, so that nothing is computed twice. The time of a step is the clip's time divided by its latent
frames. The first latent frame takes as long as the others, as its one video frame is repeated.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "data"))

import recipe  # noqa: E402

SGEMM_SIZE = 2048
SGEMM_PRODUCTS = 10
# The second run of compiled code may compile again, as the modules have a cache from the first run.
WARM_RUNS = {"eager": 1, "compile": 2}


class Reference:
    def __init__(self, options: argparse.Namespace) -> None:
        sys.path.insert(0, str(options.checkout))
        model = json.loads(options.config.read_text(encoding="utf-8"))["model"]["params"]
        regularizer = model["regularizer_config"]
        self.device = options.device
        self.factor = model["encoder_config"]["params"]["time_downsample_factor"]
        self.quantizer = load_class(regularizer["target"])(**regularizer["params"]).to(self.device)
        target = model[f"{options.role}_config"]["target"]
        module = load_class(target)(**model["encoder_config"]["params"])
        module.load_state_dict(weights(module, options.role, options.seed))
        self.module = module.eval().to(self.device)
        self.modules: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"eager": self.module}
        self.role, self.output = options.role, options.output
        self.input = self.frames(options) if options.role == "encoder" else self.codes(options)
        self.latent_frames = 1 + (options.frames - 1) // self.factor

    def frames(self, options: argparse.Namespace) -> torch.Tensor:
        """The clip [1, 3, T, H, W] in [-1, 1]."""
        frames = np.fromfile(options.input, np.uint8).reshape(-1, options.size, options.size, 3)[: options.frames]
        scaled = torch.from_numpy(frames).to(self.device).permute(3, 0, 1, 2)[None].float()
        return (scaled / 127.5 - 1).contiguous()

    def codes(self, options: argparse.Namespace) -> torch.Tensor:
        """The codes [1, C, t, h, w] of tokens."""
        tokens = torch.from_numpy(np.load(options.input).astype(np.int32)).to(self.device)
        return self.quantizer.indices_to_codes(tokens[None]).float().contiguous()

    def answer(self, command: str, argument: str) -> Mapping[str, object]:
        if command == "warm":
            return self.warm(argument)
        if command == "turn":
            return {"ms": self.run(argument)[1] / self.latent_frames}
        if command == "sgemm":
            return {"gflops": sgemm(self.device)}
        return self.result(argument)

    def warm(self, mode: str) -> Mapping[str, object]:
        started = time.perf_counter()
        kind = mode.split()[0]
        if kind == "compile" and kind not in self.modules:
            self.modules[kind] = torch.compile(self.module)
        for _ in range(WARM_RUNS[kind]):
            self.run(mode)
        return {"seconds": time.perf_counter() - started}

    def run(self, mode: str) -> tuple[torch.Tensor, float]:
        """Run a mode; return the output and the milliseconds that it took."""
        kind, *half = mode.split()
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=bool(half)):
            self.wait()
            started = time.perf_counter()
            output = self.modules[kind](self.input)
            self.wait()
            return output, (time.perf_counter() - started) * 1e3

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()

    def result(self, mode: str) -> Mapping[str, object]:
        """Write tokens [t, h, w] or pictures [T, H, W, 3] of bytes."""
        output = self.run(mode)[0].float()
        if self.role == "encoder":
            with torch.inference_mode():
                array = self.quantizer(output)[1]["indices"][0]
        else:
            pictures = output[0, :, self.factor - 1 :].permute(1, 2, 3, 0)
            array = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        np.save(self.output, array.cpu().numpy())
        return {}


def load_class(target: str) -> type:
    module, name = target.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def weights(module: torch.nn.Module, role: str, seed: int) -> dict[str, torch.Tensor]:
    """The weights of `tests/data/recipe.py`, which the graphs have, too."""
    shapes = {f"{role}.{name}": list(tensor.shape) for name, tensor in module.state_dict().items()}
    arrays = recipe.weights(shapes, seed)
    return {name.removeprefix(f"{role}."): torch.from_numpy(np.asarray(array)) for name, array in arrays.items()}


def sgemm(device: str) -> float:
    a, b = (torch.randn(SGEMM_SIZE, SGEMM_SIZE, device=device) for _ in range(2))
    seconds = []
    for _ in range(2 + SGEMM_PRODUCTS):
        started = time.perf_counter()
        torch.mm(a, b)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * SGEMM_SIZE**3 / statistics.median(seconds[2:]) / 1e9


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, kind in (
        ("checkout", Path),
        ("config", Path),
        ("input", Path),
        ("output", Path),
        ("role", str),
        ("device", str),
    ):
        parser.add_argument(f"--{name}", type=kind, required=True)
    for name in ("size", "frames", "seed", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return parser.parse_args()


def main() -> None:
    # Imported modules may print to standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    options = arguments()
    torch.set_num_threads(options.threads)
    # The elements do not use TF32 either.
    torch.backends.cudnn.allow_tf32 = False
    reference = Reference(options)
    print(json.dumps({"torch": torch.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        try:
            answer = reference.answer(command, argument)
        except Exception as error:  # the report shows any error of the compiler
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".splitlines()[:2])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
