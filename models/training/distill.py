"""Learning a teacher's tokens: a small encoder learns to give them, a small decoder to show them.

The two train side by side and share nothing. The encoder learns the teacher's tokens of the clips. The decoder learns
the clips from the teacher's tokens, not from the small encoder's.
"""

import argparse
import math
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import losses
from data import Clips
from small_network import FAMILY, ClipMemory, Quantizer, Tokenizer, group, ungroup
from teacher import Description, Teacher

SOFTNESS = 0.15  # width of a level's borders along z, where levels are about 0.3 wide


class Distillation:
    """The objective of `trainer.Training` with a teacher."""

    def __init__(self, tokenizer: Tokenizer, teacher: Teacher, arguments: argparse.Namespace) -> None:
        self.tokenizer, self.teacher, self.part = tokenizer, teacher, arguments.part
        self.levels = Levels(tokenizer.quantizer)
        self.bf16 = arguments.precision == "bf16"
        self.student = torch.compile(self.run) if arguments.compile else self.run
        self.picture = torch.compile(losses.picture) if arguments.compile else losses.picture
        print(f"the teacher, {teacher.description.name}, runs on {teacher.provider}", flush=True)

    @property
    def record(self) -> dict[str, object]:
        """The entry of checkpoints that says which teacher's tokens were learned."""
        return self.teacher.description.entries() | {"part": self.part}

    def start(self, clips: Clips, device: torch.device) -> None:
        """Does nothing: the best linear guess at a teacher's tokens is hardly better than a constant."""

    def taught(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """The clips as the teacher sees them, rounded to bytes, and its tokens `[N, t, h, w]`."""
        pixels = ((clips + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        tokens = self.teacher.tokens(np.ascontiguousarray(pixels.permute(0, 1, 3, 4, 2).cpu().numpy()))
        return pixels.float() / 127.5 - 1, torch.from_numpy(tokens).long().to(clips.device)

    def run(self, clips: Tensor, codes: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The encoder's z and the decoder's frames; None for a part that is not trained."""
        latent_frames = len(codes) // len(clips)
        z = frames = None
        if self.part != "decoder":
            groups = group(clips, self.tokenizer.config.time_factor)
            z = self.tokenizer.encoder(groups.flatten(0, 1), ClipMemory(latent_frames))
        if self.part != "encoder":
            frames = ungroup(self.tokenizer.decoder(codes, ClipMemory(latent_frames)), latent_frames)
        return z, frames

    def __call__(self, clips: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the figures of this step to report."""
        quantizer = self.tokenizer.quantizer
        began = time.perf_counter()
        clips, tokens = self.taught(clips)
        figures = {"teacher": torch.tensor(time.perf_counter() - began)}
        codes = quantizer.codes(tokens.flatten(0, 1))
        with torch.autocast(clips.device.type, torch.bfloat16, enabled=self.bf16):
            z, frames = self.student(clips, codes)
        loss = torch.zeros((), device=clips.device)
        if z is not None:
            digits = quantizer.digits(codes)
            loss = loss + self.levels.distance(z.float(), digits)
            figures["right"] = agreement(quantizer.digits(quantizer(z.detach().float())), digits)
        if frames is not None:
            frames = frames.float()
            loss = loss + self.picture(frames, clips)
            figures["error"] = (frames.detach().clamp(-1, 1) - clips).square().mean()
        return loss, figures

    @staticmethod
    def summary(figures: dict[str, list[Tensor]]) -> dict[str, object]:
        """The figures of a progress line; agreement is in per cent, of whole tokens and of each channel."""
        line: dict[str, object] = {}
        if "right" in figures:
            tokens, *channels = (100 * torch.stack(figures["right"]).mean(0)).tolist()
            line |= {"agreement": round(tokens, 2), "channels": [round(channel, 1) for channel in channels]}
        if "error" in figures:
            line["psnr"] = round(losses.psnr(float(torch.stack(figures["error"]).mean())), 2)
        line["teacher_ms"] = round(1000 * float(torch.stack(figures["teacher"]).mean()), 1)
        return line


class Levels:
    """The borders of the quantizer's levels along z, before tanh."""

    def __init__(self, quantizer: Quantizer) -> None:
        device, count = quantizer.reach.device, max(quantizer.levels)
        # Channels with fewer levels leave the rest of their row unused. The outermost levels are open.
        level = torch.arange(1, count, device=device)
        fraction = (level - 0.5 - quantizer.middle[..., 0] + quantizer.offset[..., 0]) / quantizer.reach[..., 0]
        borders = torch.atanh(fraction) - quantizer.shift[..., 0]
        beyond = level >= torch.tensor(quantizer.levels, device=device)[:, None]
        borders = borders.masked_fill(beyond, math.inf)
        self.low = functional.pad(borders, (1, 0), value=-math.inf)
        self.high = functional.pad(borders, (0, 1), value=math.inf)
        self.channel = torch.arange(len(quantizer.levels), device=device)[:, None, None]

    def distance(self, z: Tensor, digits: Tensor) -> Tensor:
        """The mean distance of z from the range that rounds to its level in `digits`; both are `[n, C, h, w]`.

        Inside that range it is small, not 0. It is ordered logistic regression with known borders, up to a constant:
        the likelihood that z with logistic noise rounds to the level. Its gradient along z is as strong far away as
        nearby; behind tanh it would vanish.
        """
        low, high = self.low[self.channel, digits], self.high[self.channel, digits]
        return (functional.softplus((low - z) / SOFTNESS) + functional.softplus((z - high) / SOFTNESS)).mean()


def agreement(found: Tensor, expected: Tensor) -> Tensor:
    """Shares of equal digits, of two arrays `[n, C, h, w]`: first whole tokens, then each channel."""
    same = found == expected
    return torch.cat([same.all(1).float().mean()[None], same.float().mean((0, 2, 3))])


def describe(teacher: Description, part: str, name: str | None) -> Description:
    """A student's description. It has the teacher's digest, as its tokens are the teacher's."""
    suffix = "distilled" if part == "both" else f"distilled-{part}"
    family = {
        "both": FAMILY,
        "encoder": f"{FAMILY}+{teacher.family}",
        "decoder": f"{teacher.family}+{FAMILY}",
    }[part]
    delay = teacher.decoder_delay if part == "encoder" else 0
    return replace(teacher, name=name or f"{teacher.name}-{suffix}", family=family, decoder_delay=delay)
