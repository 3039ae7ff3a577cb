"""The golden files: inputs and the reference implementation's outputs for them, with the recipe's weights.

`tests/data/recipe.py` makes weights from a manifest {name: shape}, the same on every machine. The networks have a width
of 16 channels in place of the published 128.
"""

import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
sys.path[:0] = [str(ROOT / "models"), str(DATA)]

import recipe  # noqa: E402
from vidtok_export import architecture, build  # noqa: E402
from vidtok_export.architecture import Configuration  # noqa: E402

PUBLISHED = json.loads((ROOT / "models" / "published.json").read_text())
FILES = sorted((DATA / "golden").glob("*.npz"))


def document(name: str, ch: int = 128) -> dict:
    """A published model's configuration as its YAML file has it, without entries that have the default."""
    model = PUBLISHED[name]
    family = next(f for f in architecture.FAMILIES if f.name == model["family"])
    n = len(model["ch_mult"])
    params = {
        "double_z": model["regularizer"] == "kl",
        "z_channels": model["z_channels"],
        "in_channels": 3,
        "out_ch": 3,
        "ch": ch,
        "ch_mult": model["ch_mult"],
        "time_downsample_factor": model["time_factor"],
        "num_res_blocks": model["num_res_blocks"],
        "dropout": 0.0,
        "norm_type": "layernorm",
    }
    if family.causal:
        params["init_pad_mode"] = "replicate"
    if family.linear_upsampling:
        params["interpolation_mode"] = "trilinear"
    defaults = {
        "spatial_ds": ("spatial_down", list(range(n - 1))),
        "spatial_us": ("spatial_up", list(range(1, n))),
        "tempo_ds": ("temporal_down", [n - 3, n - 2]),
        "tempo_us": ("temporal_up", [1, 2]),
    }
    params |= {key: model[ours] for key, (ours, default) in defaults.items() if model[ours] != default}
    if model["regularizer"] == "fsq":
        regularizer = {"target": "vidtok.modules.regularizers.FSQRegularizer", "params": {"levels": model["levels"]}}
    else:
        regularizer = {"target": "vidtok.modules.regularizers.DiagonalGaussianRegularizer"}
    reference = "${model.params.encoder_config.params}"
    return {
        "model": {
            "params": {
                "encoder_config": {"target": f"vidtok.modules.{family.encoder}", "params": params},
                "decoder_config": {"target": f"vidtok.modules.{family.decoder}", "params": reference},
                "regularizer_config": regularizer,
            }
        }
    }


def configuration(name: str, ch: int) -> Configuration:
    return architecture.parse(document(name, ch))


def weights(network: Configuration, seed: int) -> dict[str, np.ndarray]:
    return recipe.weights({name: list(shape) for name, shape in build.parameters(network).items()}, seed)


@dataclass(frozen=True)
class Golden:
    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.path) as file:
            return {name: file[name] for name in file.files}

    @cached_property
    def meta(self) -> dict:
        return json.loads(str(self.arrays["meta"]))

    @property
    def configuration(self) -> Configuration:
        return configuration(self.name, self.meta["ch"])

    @property
    def tensors(self) -> dict[str, np.ndarray]:
        return recipe.weights(self.meta["shapes"], self.meta["seed"])

    def export(self, folder: Path, test_outputs: bool, precision: str = "fp32", target: str = "cpu") -> None:
        build.export(self.configuration, self.tensors, folder, self.name, "MIT", test_outputs, precision, target)
