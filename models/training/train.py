"""Train the small tokenizer.

    python3 models/training/train.py --data DIR --output DIR --minutes 90

DIR holds videos and photographs. Run again with the same output folder, a killed training goes on from its last
checkpoint. With --minutes the learning rate follows the time spent, with --steps the step: then the result depends on
the seed alone (on one machine with one number of threads).

The learning rate is constant for the first 60% of the training, so until then the length can still be changed, and the
result is that of a training that had this length from its start.

With --teacher, a tokenizer folder made by models/export.py, the tokens to be learned are that tokenizer's:

    python3 models/training/train.py --data DIR --output DIR --teacher models/NAME --part decoder
"""

import argparse
import json
import signal
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

import checkpoint
import losses
from data import Clips
from distill import PARTS, Distillation
from network import Configuration, Tokenizer, group
from optimizer import optimizers
from teacher import Teacher

AVERAGE_DECAY = 0.999
WARM_UP = 200  # steps
DECAY_FROM = 0.6  # of the whole training
LARGEST_GRADIENT = 1.0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of videos and photographs")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoint.pt and progress.jsonl")
    parser.add_argument("--start", type=Path, help="checkpoint of another training, to start from its averaged weights")
    parser.add_argument("--cache", type=Path, help="folder for decoded videos (default: OUTPUT/cache)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=90.0, help="how long to train (default: 90)")
    length.add_argument("--steps", type=int, help="how many steps to train instead")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--frames", type=int, default=25, help="frames of a training clip, 1 + 4k (default: 25)")
    parser.add_argument("--crop", type=int, default=96, help="side of a training clip (default: 96)")
    parser.add_argument("--muon-rate", type=float, default=1e-3)
    parser.add_argument("--adam-rate", type=float, default=4e-4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16 where the machine has it")
    parser.add_argument("--compile", action="store_true", help="compile network and loss first (needs a C++ compiler)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches (default: 0)")
    parser.add_argument("--report-every", type=float, default=30.0, help="seconds between progress lines")
    parser.add_argument("--save-every", type=float, default=60.0, help="seconds between checkpoints")
    learning = parser.add_argument_group("learning another tokenizer's tokens")
    learning.add_argument("--teacher", type=Path, help="its folder: a causal FSQ tokenizer at 4x8x8")
    learning.add_argument("--part", choices=PARTS, help="what to train (default: both)")
    learning.add_argument(
        "--teacher-batches",
        type=int,
        metavar="N",
        help="use N batches again and again, their tokens kept in the cache, where the teacher is slow (default: each "
        "step has clips of its own)",
    )
    arguments = parser.parse_args()
    if arguments.teacher is None and (arguments.part or arguments.teacher_batches):
        parser.error("--part and --teacher-batches are for --teacher")
    if arguments.teacher_batches is not None and arguments.teacher_batches < 1:
        parser.error("--teacher-batches must be 1 or more")
    arguments.part = arguments.part or "both"
    space, step = Configuration().space_factor, Configuration().time_factor
    if arguments.frames % step != 1 or arguments.frames <= step or arguments.crop % space:
        parser.error(f"--frames must be 1 + {step}k and above 1, --crop a multiple of {space}")
    return arguments


def learning_rate(step: int, progress: float) -> float:
    """Warm-up, constant, then a linear decay to nothing; `progress` from 0 to 1."""
    return min((step + 1) / WARM_UP, 1.0, max((1 - progress) / (1 - DECAY_FROM), 0.0))


@torch.no_grad()
def start_from_principal_components(tokenizer: Tokenizer, clips: Tensor) -> None:
    """Set the encoder's linear path to the strongest components of the pixels, each of unit deviation."""
    config, linear = tokenizer.config, tokenizer.encoder.linear
    groups = group(clips, config.time_factor)[:, 1:].flatten(0, 1)
    blocks = functional.unfold(groups, config.space_factor, stride=config.space_factor).transpose(1, 2).flatten(0, 1)
    mean = blocks.mean(0)
    values, vectors = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
    codes = len(config.levels)
    rows = (vectors[:, -codes:] / values[-codes:].clamp(min=1e-6).sqrt()).T
    linear.weight.copy_(rows.view_as(linear.weight))
    linear.bias.copy_(-rows @ mean)
    # The rest of the encoder starts as a small correction to it.
    tokenizer.encoder.code.weight.mul_(0.3)


class Reconstruction:
    """What `Training` minimizes without a teacher: what goes in is to come out, and all codes are to be used."""

    record = None  # of a teacher, in checkpoints

    def __init__(self, tokenizer: Tokenizer, arguments: argparse.Namespace) -> None:
        self.tokenizer, self.seed = tokenizer, arguments.seed
        self.bf16 = arguments.precision == "bf16"
        self.reconstruct, self.loss = tokenizer, losses.loss
        if arguments.compile:
            self.reconstruct, self.loss = torch.compile(tokenizer), torch.compile(losses.loss)

    def start(self, clips: Clips, device: torch.device) -> None:
        sample = torch.cat([clips[step] for step in range(16)])
        start_from_principal_components(self.tokenizer, sample.to(device))

    def __call__(self, clips: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss; the squared error and the token indices."""
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=self.bf16):
            reconstruction, z, indices = self.reconstruct(clips)
        reconstruction, z = reconstruction.float(), z.float()
        loss = self.loss(reconstruction, clips, z) + losses.EVENNESS * self.unevenness(z, len(clips), step)
        error = (reconstruction.detach().clamp(-1, 1) - clips).square().mean()
        return loss, {"error": error, "codes": indices.flatten()}

    def unevenness(self, z: Tensor, clips: int, step: int) -> Tensor:
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        codes = self.tokenizer.quantizer.bound(z).unflatten(0, (clips, -1))
        return losses.unevenness(codes.movedim(2, -1).flatten(1, 3), self.tokenizer.config.levels, random)

    @staticmethod
    def summary(figures: dict[str, list[Tensor]]) -> dict[str, object]:
        return {
            "psnr": round(losses.psnr(float(torch.stack(figures["error"]).mean())), 2),
            "entropy": round(losses.entropy(torch.cat(figures["codes"]).bincount()), 2),
        }


class Training:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Before PyTorch starts any thread, so that all have it: momentum of kernels no longer in use fades into
        # denormal numbers, which made a step three times as long.
        torch.set_flush_denormal(True)
        torch.set_num_threads(arguments.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.manual_seed(arguments.seed)
        self.output: Path = arguments.output
        self.output.mkdir(parents=True, exist_ok=True)
        cache = arguments.cache or self.output / "cache"
        size = arguments.batch, arguments.frames, arguments.crop
        self.clips = Clips(arguments.data, cache, arguments.seed, *size, batches=arguments.teacher_batches)
        config, teacher = Configuration(), None
        if arguments.teacher:
            kept = cache / "tokens" if arguments.teacher_batches else None
            teacher = Teacher(arguments.teacher, arguments.threads, kept)
            config = replace(config, levels=teacher.description.levels)
        self.tokenizer = Tokenizer(config).to(self.device, memory_format=torch.channels_last)
        self.optimizers = optimizers(self.tokenizer, arguments.muon_rate, arguments.adam_rate)
        if teacher:
            self.objective = Distillation(self.tokenizer, teacher, arguments)
        else:
            self.objective = Reconstruction(self.tokenizer, arguments)
        self.rates = [optimizer.param_groups[0]["lr"] for optimizer in self.optimizers]
        self.step, self.spent, self.stopping = 0, 0.0, False
        if self.checkpoint_path.exists():
            self.resume()
        else:
            if arguments.start:
                self.start_from(arguments.start)
            else:
                self.objective.start(self.clips, self.device)
            self.average = {name: value.clone() for name, value in self.tokenizer.state_dict().items()}

    @property
    def checkpoint_path(self) -> Path:
        return self.output / "checkpoint.pt"

    @property
    def progress(self) -> float:
        whole = self.arguments.steps
        return self.step / whole if whole else self.spent / (60 * self.arguments.minutes)

    def start_from(self, path: Path) -> None:
        if not path.is_file():
            raise SystemExit(f"--start: there is no checkpoint {path}")
        contents = checkpoint.load(path, self.device)
        if checkpoint.configuration(contents) != self.tokenizer.config:
            raise SystemExit(f"--start: the network in {path} is another one, with other widths, blocks or levels")
        self.tokenizer.load_state_dict(contents["average"])

    def resume(self) -> None:
        contents = checkpoint.load(self.checkpoint_path, self.device)
        if contents.get("teacher") != self.objective.record:
            place = self.checkpoint_path
            raise SystemExit(f"{place} has another teacher or part: go on with that, or name another --output")
        self.tokenizer.load_state_dict(contents["weights"])
        self.average = contents["average"]
        for optimizer, state in zip(self.optimizers, contents["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.spent = contents["step"], contents["spent"]
        print(f"going on from step {self.step}", flush=True)

    def save(self) -> None:
        contents = {
            "weights": self.tokenizer.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
            "teacher": self.objective.record,
        }
        checkpoint.save(self.checkpoint_path, self.tokenizer.config, contents)

    def run(self) -> None:
        steps = range(self.step, self.arguments.steps or 1_000_000_000)
        loader = DataLoader(self.clips, batch_size=None, sampler=steps, num_workers=self.arguments.workers)
        report = Report(self)
        began, saved = time.monotonic() - self.spent, time.monotonic()
        for request in (signal.SIGINT, signal.SIGTERM):
            signal.signal(request, self.stop)
        for clips in loader:
            report.add(*self.train(clips.to(self.device)))
            self.step += 1
            now = time.monotonic()
            self.spent = now - began
            report.print_if_due(now)
            if now - saved >= self.arguments.save_every:
                self.save()
                saved = now
            if self.progress >= 1 or self.stopping:
                break
        self.save()

    def stop(self, *_: object) -> None:
        """Asked to end: after the step under way."""
        self.stopping = True

    def train(self, clips: Tensor) -> tuple[float, dict[str, Tensor]]:
        """One step; the loss, and what else is to be reported."""
        rate = learning_rate(self.step, self.progress)
        for optimizer, whole in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = whole * rate
            optimizer.zero_grad()
        loss, figures = self.objective(clips, self.step)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.optimizers[1].param_groups[0]["params"], LARGEST_GRADIENT)
        for optimizer in self.optimizers:
            optimizer.step()
        self.update_average()
        return float(loss.detach()), figures

    @torch.no_grad()
    def update_average(self) -> None:
        decay = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.tokenizer.state_dict().items():
            self.average[name].lerp_(value, 1 - decay)


class Report:
    """Progress lines: means since the last one."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.printed = time.monotonic()
        self.clear()

    def clear(self) -> None:
        self.losses: list[float] = []
        self.figures: dict[str, list[Tensor]] = defaultdict(list)

    def add(self, loss: float, figures: dict[str, Tensor]) -> None:
        self.losses.append(loss)
        for name, value in figures.items():
            self.figures[name].append(value.cpu())

    def print_if_due(self, now: float) -> None:
        training = self.training
        if now - self.printed < training.arguments.report_every and training.progress < 1:
            return
        line = {
            "step": training.step,
            "minutes": round(training.spent / 60, 2),
            "loss": round(sum(self.losses) / len(self.losses), 4),
            **training.objective.summary(self.figures),
            "minutes_left": round(max(training.spent / 60 * (1 / training.progress - 1), 0.0), 1),
        }
        with (training.output / "progress.jsonl").open("a") as file:
            print(json.dumps(line), file=file)
        print("  ".join(f"{name} {value}" for name, value in line.items()), flush=True)
        self.printed = now
        self.clear()


if __name__ == "__main__":
    Training(parse_arguments()).run()
