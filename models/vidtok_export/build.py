"""Makes a tokenizer folder from a configuration and a checkpoint's tensors."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from . import network, tokenizer
from .architecture import Configuration
from .batched import Batched
from .per_frame import PerFrame
from .weights import Weights

FORMS = {"cpu": PerFrame, "gpu": Batched}


def export(
    configuration: Configuration,
    tensors: Mapping[str, np.ndarray],
    folder: Path,
    name: str,
    licence: str,
    test_outputs: bool = False,
    precision: str = "fp32",
    target: str = "cpu",
    streams: int | None = None,
) -> tokenizer.Description:
    """Write `tokenizer.json`, an encoder and a decoder to `folder`.

    `streams`: streams per run, for the target `gpu`; None leaves the number open. Raises WeightsError where the tensors
    do not fit the configuration, ValueError for options that exclude each other.
    """
    if streams is not None and target != "gpu":
        raise ValueError("graphs for --target cpu run one stream: leave --streams out, or add --target gpu")
    form = FORMS[target] if streams is None else partial(FORMS[target], streams=streams)
    weights = Weights(tensors)
    encoder, decoder = (
        make(configuration, weights, form(role, configuration.family, precision), test_outputs)
        for role, make in zip(tokenizer.ROLES, (network.encoder, network.decoder), strict=True)
    )
    weights.check()
    description = describe(configuration, tensors, name, licence)
    parts = dict.fromkeys(tokenizer.ROLES, FORMS[target].attention_parts)
    tokenizer.write(folder, description, encoder, decoder, target, precision, parts)
    return description


def describe(
    configuration: Configuration, tensors: Mapping[str, np.ndarray], name: str, licence: str
) -> tokenizer.Description:
    return tokenizer.Description(
        name=name,
        digest=tokenizer.digest(configuration.canonical(), tensors),
        family=configuration.family.name,
        regularizer=configuration.regularizer,
        levels=configuration.levels,
        channels=None if configuration.levels else configuration.z_channels,
        time_factor=configuration.time_factor,
        space_factor=configuration.space_factor,
        causal=configuration.family.causal,
        window=configuration.family.window,
        decoder_delay=configuration.decoder_delay,
        licence=licence,
    )


def parameters(configuration: Configuration) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the configuration needs."""
    weights = Weights({})
    network.encoder(configuration, weights, PerFrame("encoder", configuration.family))
    network.decoder(configuration, weights, PerFrame("decoder", configuration.family))
    return weights.shapes
