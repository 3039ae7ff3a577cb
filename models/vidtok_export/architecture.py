"""Reads a published YAML configuration, and holds the rules in which the families differ."""

import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import yaml

from .limits import MAX_CHANNELS, MAX_CODEBOOK

_brief = reprlib.Repr()  # for messages, as a hostile file's value may be endless
_brief.maxlevel, _brief.maxlist, _brief.maxstring = 2, 16, 200


class ConfigurationError(ValueError):
    """The file does not describe a VidTok tokenizer that can be exported."""


@dataclass(frozen=True)
class Family:
    """How a family of networks treats time. In everything else the families are alike."""

    name: str
    encoder: str  # the reference's class: the last two words of the YAML's `target`
    decoder: str
    causal: bool
    repeats_first: bool  # what pads a segment's start: the layer's first input frame, else zeros
    linear_upsampling: bool  # else nearest
    conv_padding: tuple[int, int]  # frames before and behind, for a convolution of 3 taps
    down_padding: tuple[int, int]  # the same for the convolution of stride 2
    window: int  # frames per step, of a network that works on windows; 0: `time_factor` frames per step
    inner: str  # suffix in the names of a wrapped convolution's parameters

    def decoder_delay(self, time_factor: int) -> int:
        """Video frames by which the output is late, as linear up-sampling looks one latent frame ahead."""
        return time_factor - 1 if self.linear_upsampling else 0

    @property
    def interpolation_mode(self) -> str:
        return "trilinear" if self.linear_upsampling else "nearest"


FAMILIES = (
    Family(
        "causal_v1_0",
        encoder="model_3dcausal.EncoderCausal3DPadding",
        decoder="model_3dcausal.DecoderCausal3DPadding",
        causal=True,
        repeats_first=False,
        linear_upsampling=False,
        conv_padding=(2, 0),
        down_padding=(1, 0),
        window=0,
        inner=".conv",
    ),
    Family(
        "causal_v1_1",
        encoder="model_3dcausal_v1_1.EncoderCausal3DPadding",
        decoder="model_3dcausal_v1_1.DecoderCausal3DPadding",
        causal=True,
        repeats_first=True,
        linear_upsampling=True,
        conv_padding=(2, 0),
        down_padding=(1, 0),
        window=0,
        inner=".conv",
    ),
    Family(
        "noncausal",
        encoder="model_3dnoncausal.Encoder3D",
        decoder="model_3dnoncausal.Decoder3D",
        causal=False,
        repeats_first=False,
        linear_upsampling=False,
        conv_padding=(1, 1),
        down_padding=(0, 1),
        window=16,
        inner="",
    ),
)

# Far above any sensible network. They keep a hostile file from asking for endless work.
MAX_WIDTH = 1 << 14
MAX_BLOCKS = 16
MAX_DEPTH = 8  # resolutions that a network works at


@dataclass(frozen=True)
class Configuration:
    """A tokenizer's hyper-parameters."""

    family: Family
    levels: tuple[int, ...] | None  # FSQ; None: KL
    z_channels: int
    ch: int
    ch_mult: tuple[int, ...]
    num_res_blocks: int
    spatial_down: tuple[int, ...]
    temporal_down: tuple[int, ...]
    spatial_up: tuple[int, ...]
    temporal_up: tuple[int, ...]

    @property
    def regularizer(self) -> str:
        return "kl" if self.levels is None else "fsq"

    @property
    def widths(self) -> list[int]:
        """Channels of each level."""
        return [self.ch * m for m in self.ch_mult]

    @property
    def time_factor(self) -> int:
        return 2 ** len(self.temporal_down)

    @property
    def space_factor(self) -> int:
        return 2 ** len(self.spatial_down)

    @property
    def step_frames(self) -> int:
        """Video frames per step: a window, or the frames of one latent frame."""
        return self.family.window or self.time_factor

    @property
    def decoder_delay(self) -> int:
        return self.family.decoder_delay(self.time_factor)

    def canonical(self) -> dict[str, object]:
        """The entries that the digest covers besides the weights."""
        return {
            "family": self.family.name,
            "regularizer": self.regularizer,
            "levels": self.levels,
            "z_channels": self.z_channels,
            "ch": self.ch,
            "ch_mult": self.ch_mult,
            "num_res_blocks": self.num_res_blocks,
            "spatial_down": sorted(self.spatial_down),
            "temporal_down": sorted(self.temporal_down),
            "spatial_up": sorted(self.spatial_up),
            "temporal_up": sorted(self.temporal_up),
            "upsampling": self.family.interpolation_mode,
        }


def load(path: Path) -> Configuration:
    """Read a published YAML file. Raises ConfigurationError, with the path."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: not YAML: {error}") from error
    try:
        return parse(document)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse(document: object) -> Configuration:
    """Read a YAML file's content. Raises ConfigurationError, which names the entry that is wrong."""
    encoder = _section(document, "model.params.encoder_config")
    decoder = _section(document, "model.params.decoder_config")
    family = _family(encoder.get("target"), decoder.get("target"))
    levels = _levels(_section(document, "model.params.regularizer_config"))
    configuration = _network(family, levels, _section(document, "model.params.encoder_config.params"))
    if _network(family, levels, _section(document, "model.params.decoder_config.params")) != configuration:
        raise ConfigurationError("encoder_config and decoder_config describe different networks")
    return configuration


def _section(document: object, path: str) -> Mapping[str, Any]:
    """The mapping at a dotted path. A value `${some.other.path}` refers to the mapping at that path."""
    value, followed = document, 0
    keys = path.split(".")
    while keys:
        key = keys.pop(0)
        value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str) and (reference := re.fullmatch(r"\$\{([\w.]+)\}", value)):
            if (followed := followed + 1) > 10:
                raise ConfigurationError(f"{path}: its references form a circle")
            value, keys = document, reference[1].split(".") + keys
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} is missing or not a mapping; is this a VidTok model's configuration?")
    return value


def _family(encoder: object, decoder: object) -> Family:
    for family in FAMILIES:
        if _is_class(encoder, family.encoder):
            if not _is_class(decoder, family.decoder):
                raise ConfigurationError(
                    f"decoder_config.target {_brief.repr(decoder)} does not belong to encoder {_brief.repr(encoder)}"
                )
            return family
    known = ", ".join(family.encoder for family in FAMILIES)
    raise ConfigurationError(f"encoder_config.target {_brief.repr(encoder)}: no known family has it; known are {known}")


def _is_class(target: object, name: str) -> bool:
    return isinstance(target, str) and target.endswith("." + name)


def _levels(regularizer: Mapping[str, Any]) -> tuple[int, ...] | None:
    target = regularizer.get("target")
    if _is_class(target, "DiagonalGaussianRegularizer"):
        return None
    if not _is_class(target, "FSQRegularizer"):
        raise ConfigurationError(f"regularizer_config.target {_brief.repr(target)} is neither FSQ nor KL")
    params = regularizer.get("params")
    levels = _integers(params if isinstance(params, dict) else {}, "levels", None, 2, MAX_CODEBOOK, MAX_CHANNELS)
    if prod(levels) > MAX_CODEBOOK:
        raise ConfigurationError(f"levels {levels}: a codebook of {prod(levels)}; at most {MAX_CODEBOOK} is supported")
    return levels


def _network(family: Family, levels: tuple[int, ...] | None, params: Mapping[str, Any]) -> Configuration:
    ch_mult = _integers(params, "ch_mult", None, 1, 64, MAX_DEPTH)
    n = len(ch_mult)
    if n < 3:
        raise ConfigurationError(f"ch_mult {list(ch_mult)}: at least 3 levels are needed")
    configuration = Configuration(
        family=family,
        levels=levels,
        z_channels=_integer(params, "z_channels", None, 1, MAX_CHANNELS),
        ch=_integer(params, "ch", None, 1, MAX_WIDTH),
        ch_mult=ch_mult,
        num_res_blocks=_integer(params, "num_res_blocks", None, 1, MAX_BLOCKS),
        spatial_down=_indices(params, "spatial_ds", range(n - 1), n),
        temporal_down=_indices(params, "tempo_ds", (n - 3, n - 2), n),
        spatial_up=_indices(params, "spatial_us", range(1, n), n),
        temporal_up=_indices(params, "tempo_us", (1, 2), n),
    )
    fixed = {
        "in_channels": (3, 3),
        "out_ch": (3, 3),
        "norm_type": ("layernorm", None),
        "double_z": (levels is None, None),
        "time_downsample_factor": (configuration.time_factor, None),
        "interpolation_mode": (family.interpolation_mode, "nearest"),
        "init_pad_mode": ("replicate", "replicate"),
    }
    for key, (supported, default) in fixed.items():
        if (value := params.get(key, default)) != supported:
            raise ConfigurationError(
                f"{key} is {_brief.repr(value)}; a {family.name} {configuration.regularizer} "
                f"tokenizer of this shape has {supported!r}"
            )
    _consistent(configuration)
    return configuration


def _consistent(c: Configuration) -> None:
    if c.levels is not None and len(c.levels) != c.z_channels:
        raise ConfigurationError(f"z_channels is {c.z_channels}, but there are {len(c.levels)} FSQ levels")
    for what, time, space in (("ds", c.temporal_down, c.spatial_down), ("us", c.temporal_up, c.spatial_up)):
        if not set(time) <= set(space):
            raise ConfigurationError(f"tempo_{what} {list(time)} has levels that spatial_{what} {list(space)} lacks")
    if len(c.spatial_down) != len(c.spatial_up) or len(c.temporal_down) != len(c.temporal_up):
        raise ConfigurationError("the decoder does not undo the encoder's down-sampling: compare *_ds with *_us")
    if c.family.window % c.time_factor:
        raise ConfigurationError(f"a window of {c.family.window} frames is not a multiple of {c.time_factor}")


def _integer(params: Mapping[str, Any], key: str, default: int | None, low: int, high: int) -> int:
    value = params.get(key, default)
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(f"{key} is {_brief.repr(value)}; an integer from {low} to {high} is needed")
    return value


def _integers(params: Mapping[str, Any], key: str, default: Any, low: int, high: int, count: int) -> tuple[int, ...]:
    values = params.get(key, default)
    if not isinstance(values, (list, tuple, range)) or not 1 <= len(values) <= count:
        raise ConfigurationError(f"{key} is {_brief.repr(values)}; a list of 1 to {count} integers is needed")
    return tuple(_integer({key: value}, key, None, low, high) for value in values)


def _indices(params: Mapping[str, Any], key: str, default: Any, levels: int) -> tuple[int, ...]:
    values = _integers(params, key, default, 0, levels - 1, levels)
    if len(set(values)) != len(values):
        raise ConfigurationError(f"{key} is {list(values)}, which names a level twice")
    return values
