"""The training loop, its checkpoints and its progress lines."""

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

import growth
import losses
import training_state
from data import Choice, Clips
from distill import Distillation
from optimizer import optimizers
from small_network import Configuration, Tokenizer, group
from teacher import Teacher

AVERAGE_DECAY = 0.999
WARM_UP = 200  # steps
DECAY_FROM = 0.6  # share of the training after which the learning rate decays
LARGEST_GRADIENT = 1.0


def learning_rate(step: int, progress: float) -> float:
    """The learning rate's factor: warm-up, constant, then a linear decay to 0. `progress` goes from 0 to 1."""
    return min((step + 1) / WARM_UP, 1.0, max((1 - progress) / (1 - DECAY_FROM), 0.0))


@torch.no_grad()
def start_from_principal_components(tokenizer: Tokenizer, clips: Tensor) -> None:
    """Set the encoder's linear path to the pixels' strongest principal components, each scaled to unit deviation."""
    config, linear = tokenizer.config, tokenizer.encoder.linear
    groups = group(clips, config.time_factor)[:, 1:].flatten(0, 1)
    blocks = functional.unfold(groups, config.space_factor, stride=config.space_factor).transpose(1, 2).flatten(0, 1)
    mean = blocks.mean(0)
    values, vectors = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
    codes = len(config.levels)
    rows = (vectors[:, -codes:] / values[-codes:].clamp(min=1e-6).sqrt()).T
    linear.weight.copy_(rows.view_as(linear.weight))
    linear.bias.copy_(-rows @ mean)
    # The rest of the encoder starts as a small correction of that path.
    tokenizer.encoder.code.weight.mul_(0.3)


class Reconstruction:
    """The objective of `Training` without a teacher: reproduce the clips, and use all codes."""

    record = None  # checkpoints then name no teacher

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
        """The loss, and the figures of this step to report: the squared error and the token indices."""
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
        # Set before PyTorch starts threads, so that all have it: the momentum of unused kernels fades into denormal
        # numbers, which made a step three times as long.
        torch.set_flush_denormal(True)
        torch.set_num_threads(arguments.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False
        torch.manual_seed(arguments.seed)
        self.output: Path = arguments.output
        self.output.mkdir(parents=True, exist_ok=True)
        cache = arguments.cache or self.output / "cache"
        size = arguments.batch, arguments.frames, arguments.crop
        choice = Choice(arguments.leave_out, arguments.weigh)
        self.clips = Clips(arguments.data, cache, arguments.seed, *size, choice, arguments.teacher_batches)
        config, start = Configuration(), None
        if self.checkpoint_path.exists():
            config = training_state.configuration(training_state.load(self.checkpoint_path))
        elif arguments.start:
            start = growth.read(arguments.start)
            config = start[0]
        config, teacher = replace(config, **arguments.network), None
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
            if start:
                growth.load(self.tokenizer, *start)
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

    def resume(self) -> None:
        contents = training_state.load(self.checkpoint_path, self.device)
        if contents.get("teacher") != self.objective.record:
            place = self.checkpoint_path
            raise SystemExit(f"{place} has another teacher or part: continue with those, or name another --output")
        if training_state.configuration(contents) != self.tokenizer.config:
            raise SystemExit(f"{self.checkpoint_path} has another --network: start from it into another --output")
        self.tokenizer.load_state_dict(contents["weights"])
        self.average = contents["average"]
        for optimizer, state in zip(self.optimizers, contents["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.spent = contents["step"], contents["spent"]
        print(f"continuing from step {self.step}", flush=True)

    def save(self) -> None:
        contents = {
            "weights": self.tokenizer.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "spent": self.spent,
            "teacher": self.objective.record,
        }
        training_state.save(self.checkpoint_path, self.tokenizer.config, contents)

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
        """Ends the training after the current step."""
        self.stopping = True

    def train(self, clips: Tensor) -> tuple[float, dict[str, Tensor]]:
        """Makes one step; returns the loss, and the figures to report."""
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
    """Writes progress lines: means since the line before."""

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
