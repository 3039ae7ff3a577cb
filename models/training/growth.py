"""Starting from another network's weights, in a network that may be larger: it then gives the same at first.

Where the larger network has more blocks, the added ones start as the identity. Where it is wider, no weight leads from
an added channel to one that was there, and what leads to an added channel is random. So training uses them at once.
"""

from pathlib import Path

import numpy as np
import torch
from onnx import numpy_helper
from torch import Tensor

import training_state
from small_network import FAMILY, Configuration, Tokenizer
from teacher import Folder
from vidtok_export import tokenizer as folder

Weights = dict[str, Tensor]


def read(path: Path) -> tuple[Configuration, Weights]:
    """The network and the weights of a checkpoint (its averaged ones), or of a tokenizer folder of this network."""
    if path.is_dir():
        return read_folder(path)
    if not path.is_file():
        raise SystemExit(f"--start: there is no checkpoint or tokenizer folder {path}")
    contents = training_state.load(path)
    return training_state.configuration(contents), contents["average"]


def read_folder(path: Path) -> tuple[Configuration, Weights]:
    """The weights in a tokenizer folder's graphs; kernels are in half precision there."""
    found = Folder(path)
    description = found.description
    if description.family != FAMILY:
        raise SystemExit(f"--start: {path} holds a network of family {description.family!r}, not {FAMILY!r}")
    arrays = {}
    for role in folder.ROLES:
        for initializer in found.graph(role).graph.initializer:
            if initializer.name.startswith(f"{role}."):
                array = numpy_helper.to_array(initializer).astype(np.float32)
                arrays[initializer.name.removesuffix(".half")] = torch.from_numpy(array)
    config = configuration(arrays, description.levels)
    # The graphs hold the norm's weights as [channels, 1, 1].
    shapes = {name: value.shape for name, value in Tokenizer(config).state_dict().items()}
    if shapes.keys() != arrays.keys():
        raise SystemExit(f"--start: the graphs in {path} do not hold the weights of this network")
    return config, {name: array.reshape(shapes[name]) for name, array in arrays.items()}


def configuration(weights: Weights, levels: tuple[int, ...]) -> Configuration:
    """The network that these weights are of, by their shapes."""

    def count(prefix: str) -> int:
        return len({name.split(".")[2] for name in weights if name.startswith(f"{prefix}.")})

    def channels(name: str) -> tuple[int, int]:
        outputs, inputs = weights[name].shape[:2]
        return outputs, inputs

    deep_width, width = channels("encoder.down.weight")
    decoder_deep_width, decoder_width = channels("decoder.up.weight")[1], channels("decoder.head.weight")[1]
    return Configuration(
        levels=levels,
        patch=weights["encoder.fold.weight"].shape[-1],
        width=width,
        deep_width=deep_width,
        encoder_blocks=count("encoder.blocks"),
        encoder_deep_blocks=count("encoder.deep_blocks"),
        decoder_deep_blocks=count("decoder.deep_blocks"),
        decoder_blocks=count("decoder.blocks"),
        decoder_width=None if decoder_width == width else decoder_width,
        decoder_deep_width=None if decoder_deep_width == deep_width else decoder_deep_width,
    )


@torch.no_grad()
def load(tokenizer: Tokenizer, config: Configuration, weights: Weights) -> None:
    """Give a fresh tokenizer the weights of a network that is not larger in any part. Raises SystemExit otherwise."""
    own = tokenizer.config
    if own.levels != config.levels or own.patch != config.patch or own.time_factor != config.time_factor:
        raise SystemExit("--start: the network there is another one: its levels or its patches differ")
    if own.deep_width != config.deep_width:
        raise SystemExit("--start: deep_width cannot grow, as the norm before the codes is over all of its channels")
    state = tokenizer.state_dict()
    for name, value in weights.items():
        if name not in state or any(new < old for new, old in zip(state[name].shape, value.shape, strict=True)):
            raise SystemExit(f"--start: the network there has more than this one in {name}: a network can only grow")
        target = state[name]
        if value.ndim == 4:
            outputs, inputs = value.shape[:2]
            target[:outputs, inputs:] = 0
            target[:outputs, :inputs] = value
        else:
            target[: len(value)] = value
