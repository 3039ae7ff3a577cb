"""From a configuration and tensors to a tokenizer folder."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from . import network, tokenizer
from .architecture import Configuration
from .weights import Weights


def export(
    configuration: Configuration,
    tensors: Mapping[str, np.ndarray],
    folder: Path,
    name: str,
    licence: str,
    test_outputs: bool = False,
    precision: str = "fp32",
) -> tokenizer.Description:
    """Write `tokenizer.json`, an encoder and a decoder."""
    weights = Weights(tensors)
    encoder = network.encoder(configuration, weights, test_outputs, precision)
    decoder = network.decoder(configuration, weights, test_outputs, precision)
    weights.check()
    description = describe(configuration, tensors, name, licence)
    tokenizer.write(folder, description, encoder, decoder, precision=precision, attention_parts=network.ATTENTION_PARTS)
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
    network.encoder(configuration, weights)
    network.decoder(configuration, weights)
    return weights.shapes
