"""Training checkpoints: everything that training needs to continue, written so that a kill leaves a whole file."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from small_network import Configuration, Tokenizer


def save(path: Path, config: Configuration, contents: dict[str, Any]) -> None:
    temporary = path.with_suffix(".partial")
    torch.save({"configuration": asdict(config), **contents}, temporary)
    os.replace(temporary, path)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    return torch.load(path, map_location=device, weights_only=True)


def configuration(contents: dict[str, Any]) -> Configuration:
    values = dict(contents["configuration"])
    return Configuration(**{**values, "levels": tuple(values["levels"])})


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer with a checkpoint's averaged weights, ready for use."""
    contents = load(path)
    tokenizer = Tokenizer(configuration(contents))
    tokenizer.load_state_dict(contents["average"])
    return tokenizer.eval().requires_grad_(False)
