"""The small tokenizer's network: a causal, open-loop FSQ autoencoder at 4x8x8.

Four frames of 4x4 pixels fold into one position, so everything runs at a quarter and an eighth of the picture's size.
Only `Block` and the decoder's head look back in time, each by one latent frame, through a memory that the caller passes
in. So one forward pass serves for whole clips (`ClipMemory`) and for streams, step by step (`StepMemory`).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vidtok_export import fsq

FAMILY = "small_v1"


@dataclass(frozen=True)
class Configuration:
    """The hyper-parameters: with the weights, they define a tokenizer."""

    levels: tuple[int, ...] = (8, 8, 8, 8, 8)
    time_factor: int = 4
    patch: int = 4  # pixels per side that fold into one position; the latent grid is half as fine
    width: int = 64  # channels at a quarter of the size
    deep_width: int = 128  # channels at an eighth
    encoder_blocks: int = 2
    encoder_deep_blocks: int = 3
    decoder_deep_blocks: int = 4
    decoder_blocks: int = 3
    decoder_width: int | None = None  # the decoder's own widths, if they are not the encoder's
    decoder_deep_width: int | None = None

    @property
    def space_factor(self) -> int:
        return 2 * self.patch

    @property
    def channels(self) -> int:
        """Channels of a group of frames: frame 0's red, green, blue, then frame 1's."""
        return 3 * self.time_factor

    @property
    def decoder_widths(self) -> tuple[int, int]:
        """Channels of the decoder at a quarter and at an eighth of the size."""
        return self.decoder_width or self.width, self.decoder_deep_width or self.deep_width

    def as_dict(self) -> dict[str, object]:
        """The entries that a digest covers: without those that are not set, so that older networks keep theirs."""
        entries = {name: value for name, value in asdict(self).items() if value is not None}
        return {"family": FAMILY, **entries, "levels": list(self.levels)}


class ClipMemory:
    """The past in whole clips: N clips of t latent frames lie on the batch axis, clip by clip."""

    def __init__(self, latent_frames: int) -> None:
        self.latent_frames = latent_frames

    def previous(self, name: str, x: Tensor) -> Tensor:
        """Each latent frame's predecessor; zeros before the first."""
        clip = x.unflatten(0, (-1, self.latent_frames))
        return functional.pad(clip[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)).flatten(0, 1)


class StepMemory:
    """The past of a stream, one latent frame per step. It is empty at a segment's start."""

    def __init__(self) -> None:
        self.states: dict[str, Tensor] = {}

    def previous(self, name: str, x: Tensor) -> Tensor:
        last = self.states.get(name)
        self.states[name] = x
        return torch.zeros_like(x) if last is None else last


Memory = ClipMemory | StepMemory


class Block(nn.Module):
    """A residual block that sees its own latent frame in 3x3 and the one before it in 1x1."""

    def __init__(self, name: str, width: int) -> None:
        super().__init__()
        self.name = name
        self.now = nn.Conv2d(width, width, 3, padding=1)
        self.before = nn.Conv2d(width, width, 1, bias=False)
        self.out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # starts as the identity
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, memory: Memory) -> Tensor:
        return x + self.out(functional.relu(self.now(x) + self.before(memory.previous(self.name, x))))


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of each position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, 1, keepdim=True, correction=0)
        normal = (x - mean) / torch.sqrt(variance + 1e-6)
        return normal * self.weight[:, None, None] + self.bias[:, None, None]


def blocks(name: str, count: int, width: int) -> nn.ModuleList:
    return nn.ModuleList(Block(f"{name}{index}", width) for index in range(count))


def run(layers: Iterable[nn.Module], x: Tensor, memory: Memory) -> Tensor:
    for layer in layers:
        x = layer(x, memory)
    return x


class Encoder(nn.Module):
    """Turns groups of frames `[n, 12, H, W]` in [-1, 1] into z `[n, 5, H/8, W/8]`, the code before quantizing."""

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        codes = len(config.levels)
        self.fold = nn.Conv2d(config.channels, config.width, config.patch, config.patch)
        self.blocks = blocks("quarter", config.encoder_blocks, config.width)
        self.down = nn.Conv2d(config.width, config.deep_width, 2, 2)
        self.deep_blocks = blocks("eighth", config.encoder_deep_blocks, config.deep_width)
        # Without the norm the codes saturate in the first few training steps.
        self.norm = ChannelNorm(config.deep_width)
        self.code = nn.Conv2d(config.deep_width, codes, 1)
        # Training starts from this linear path, the principal components of the pixels.
        self.linear = nn.Conv2d(config.channels, codes, config.space_factor, config.space_factor)

    def forward(self, frames: Tensor, memory: Memory) -> Tensor:
        x = run(self.blocks, self.fold(frames), memory)
        x = run(self.deep_blocks, self.down(x), memory)
        # Always in float32: a kernel as large as this gave wrong results in bf16 on a processor with AMX.
        with torch.autocast(frames.device.type, enabled=False):
            linear = self.linear(frames)
        return self.code(self.norm(x)) + linear


class Decoder(nn.Module):
    """Turns codes `[n, 5, H/8, W/8]` into groups of frames `[n, 12, H, W]`, before clamping."""

    def __init__(self, config: Configuration) -> None:
        super().__init__()
        width, deep_width = config.decoder_widths
        self.code = nn.Conv2d(len(config.levels), deep_width, 3, padding=1)
        self.deep_blocks = blocks("eighth", config.decoder_deep_blocks, deep_width)
        self.up = nn.Conv2d(deep_width, 4 * width, 1)
        self.blocks = blocks("quarter", config.decoder_blocks, width)
        # The head overlaps neighbouring patches and the group before, so that no seams show where they meet.
        pixels = config.channels * config.patch**2
        self.head = nn.Conv2d(width, pixels, 3, padding=1)
        self.head_before = nn.Conv2d(width, pixels, 1, bias=False)
        self.patch = config.patch

    def forward(self, codes: Tensor, memory: Memory) -> Tensor:
        x = run(self.deep_blocks, self.code(codes), memory)
        x = functional.pixel_shuffle(self.up(x), 2)
        x = run(self.blocks, x, memory)
        return functional.pixel_shuffle(self.head(x) + self.head_before(memory.previous("head", x)), self.patch)


class Quantizer(nn.Module):
    """Finite scalar quantization: rounds each channel to one of a few levels, and passes the gradient through."""

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = levels
        for name, values in fsq.constants(levels)._asdict().items():
            self.register_buffer(name, torch.from_numpy(values)[:, None, None], persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Maps z to the range of the levels, -4 to 3 for 8 levels, without rounding."""
        return torch.tanh(z + self.shift) * self.reach - self.offset

    def forward(self, z: Tensor) -> Tensor:
        """Turns z into codes in [-1, 1)."""
        bounded = self.bound(z)
        return (bounded + (bounded.round() - bounded).detach()) / self.middle

    def indices(self, codes: Tensor) -> Tensor:
        """Turns codes `[n, 5, h, w]` into token indices `[n, h, w]`; channel 0 is the least significant digit."""
        return (self.digits(codes) * self.place).sum(1)

    def digits(self, codes: Tensor) -> Tensor:
        """Turns codes `[n, 5, h, w]` into each channel's level, counted from 0."""
        return (codes * self.middle).round().long() + self.middle.long()

    def codes(self, indices: Tensor) -> Tensor:
        """Turns token indices `[n, h, w]` into codes `[n, 5, h, w]`."""
        levels = torch.tensor(self.levels, device=indices.device)[:, None, None]
        return (indices.unsqueeze(1) // self.place % levels - self.middle) / self.middle


class Tokenizer(nn.Module):
    def __init__(self, config: Configuration) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quantizer = Quantizer(config.levels)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gives the reconstruction, z and the token indices of clips `[N, 1 + 4k, 3, H, W]` in [-1, 1]."""
        groups = group(clips, self.config.time_factor)
        latent_frames = groups.shape[1]
        z = self.encoder(groups.flatten(0, 1), ClipMemory(latent_frames))
        codes = self.quantizer(z)
        frames = self.decoder(codes, ClipMemory(latent_frames))
        return ungroup(frames, latent_frames), z, self.quantizer.indices(codes.detach())


def group(clips: Tensor, time_factor: int) -> Tensor:
    """Cuts clips `[N, 1 + 4k, 3, H, W]` into groups `[N, 1 + k, 12, H, W]`; the first frame fills the first group."""
    first = clips[:, :1].expand(-1, time_factor - 1, -1, -1, -1)
    return torch.cat([first, clips], 1).unflatten(1, (-1, time_factor)).flatten(2, 3)


def ungroup(groups: Tensor, latent_frames: int) -> Tensor:
    """Joins groups `[N * t, 12, H, W]` to the shown frames `[N, 1 + 4k, 3, H, W]`: of the first group only the last."""
    frames = groups.unflatten(1, (-1, 3)).unflatten(0, (-1, latent_frames)).flatten(1, 2)
    return frames[:, groups.shape[1] // 3 - 1 :]
