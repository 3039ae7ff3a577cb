"""Gives a checkpoint's tensors to the network that is built from them."""

from collections.abc import Mapping

import numpy as np


class WeightsError(ValueError):
    """The tensors are not those of the configured network."""


class Weights:
    """Gives tensors by name and records every misfit, so that one error names them all."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._tensors = tensors
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._problems: list[str] = []

    def take(self, name: str, *shape: int) -> np.ndarray:
        """The tensor `name`, float32 of this shape. Where it is missing or wrong, zeros, and `check` will raise."""
        self.shapes[name] = shape
        tensor = self._tensors.get(name)
        if tensor is not None and tensor.shape == shape:
            return tensor
        found = "missing" if tensor is None else f"has shape {list(tensor.shape)}"
        self._problems.append(f"{name}: {found}, needed {list(shape)}")
        return np.zeros(shape, np.float32)

    def check(self) -> None:
        """Raise WeightsError if a tensor was missing, had another shape, or was never taken."""
        unexpected = [f"{name}: not in this network" for name in sorted(set(self._tensors) - set(self.shapes))]
        problems = self._problems + unexpected
        if problems:
            shown = "\n  ".join(problems[:20])
            more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
            raise WeightsError(
                f"the checkpoint does not fit the configuration ({len(problems)} tensors):\n  {shown}{more}"
            )
