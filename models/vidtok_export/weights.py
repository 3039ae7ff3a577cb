"""A checkpoint's tensors as the network asks for them."""

from collections.abc import Mapping

import numpy as np


class WeightsError(ValueError):
    """The tensors are not those of the configured network."""


class Weights:
    """Hands out tensors and notes every misfit, so that one error can name them all."""

    def __init__(self, tensors: Mapping[str, np.ndarray]) -> None:
        self._tensors = tensors
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._problems: list[str] = []

    def take(self, name: str, *shape: int) -> np.ndarray:
        """The tensor, or zeros of that shape where it is missing or wrong: `check` tells."""
        self.shapes[name] = shape
        tensor = self._tensors.get(name)
        if tensor is not None and tensor.shape == shape:
            return tensor
        found = "missing" if tensor is None else f"has shape {list(tensor.shape)}"
        self._problems.append(f"{name}: {found}, needed {list(shape)}")
        return np.zeros(shape, np.float32)

    def check(self) -> None:
        unexpected = [f"{name}: not in this network" for name in sorted(set(self._tensors) - set(self.shapes))]
        problems = self._problems + unexpected
        if problems:
            shown = "\n  ".join(problems[:20])
            more = f"\n  … and {len(problems) - 20} more" if len(problems) > 20 else ""
            raise WeightsError(
                f"the checkpoint does not fit the configuration ({len(problems)} tensors):\n  {shown}{more}"
            )
