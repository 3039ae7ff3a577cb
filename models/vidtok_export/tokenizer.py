"""Writes tokenizer folders: `tokenizer.json` and the graphs, as docs/graphs.md specifies them."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx

from . import limits
from .variants import PRECISIONS, TARGETS

FORMAT = 1
ROLES = ("encoder", "decoder")
# `vidtok.input`: what the element types of an encoder's frames are called.
INPUTS = {onnx.TensorProto.UINT8: "uint8", onnx.TensorProto.FLOAT: "float32"}


@dataclass(frozen=True)
class Description:
    """A tokenizer's description; docs/graphs.md says what each key means. `levels` is for FSQ, `channels` for KL."""

    name: str
    digest: str
    family: str
    regularizer: str
    levels: tuple[int, ...] | None
    channels: int | None
    time_factor: int
    space_factor: int
    causal: bool
    window: int  # frames per window; 0 for causal tokenizers
    decoder_delay: int  # video frames by which the decoder's output is late
    licence: str

    def __post_init__(self) -> None:
        if not self.name or not all((c.isalnum() and c.isascii()) or c in "._-" for c in self.name):
            raise ValueError(f"tokenizer name {self.name!r}: use letters, digits, '.', '_' and '-'")
        if (self.levels is None) == (self.channels is None):
            raise ValueError("a tokenizer has either levels (FSQ) or channels (KL)")

    def check_limits(self) -> None:
        """Raise ValueError for a tokenizer that the plugin would refuse as too large."""
        bounds = {
            "bytes of the name": (len(self.name), limits.MAX_NAME_BYTES),
            "time-factor": (self.time_factor, limits.MAX_TIME_FACTOR),
            "space-factor": (self.space_factor, limits.MAX_SPACE_FACTOR),
            "window": (self.window, limits.MAX_WINDOW),
            "channels": (self.channels or len(self.levels), limits.MAX_CHANNELS),
            "codebook": (math.prod(self.levels or ()), limits.MAX_CODEBOOK),
        }
        for what, (value, limit) in bounds.items():
            if value > limit:
                raise ValueError(f"tokenizer {self.name!r}: {what}: {value}, at most {limit} is supported")

    def entries(self) -> dict[str, object]:
        """The keys and values of `tokenizer.json`, without the variants."""
        tokens = {"channels": self.channels} if self.levels is None else {"levels": list(self.levels)}
        return {
            "format": FORMAT,
            "name": self.name,
            "digest": self.digest,
            "family": self.family,
            "causal": self.causal,
            "regularizer": self.regularizer,
            **tokens,
            "time-factor": self.time_factor,
            "space-factor": self.space_factor,
            "window": self.window,
            "decoder-delay": self.decoder_delay,
            "licence": self.licence,
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, object]) -> "Description":
        """The inverse of `entries`. Raises ValueError for a key that is missing, or another format."""
        if entries.get("format") != FORMAT:
            raise ValueError(f"format {entries.get('format')!r}, only {FORMAT} is known")
        keys = {field.name: field.name.replace("_", "-") for field in fields(cls)}
        optional = {"levels", "channels"}
        missing = [key for key in keys.values() if key not in entries and key not in optional]
        if missing:
            raise ValueError(f"the key {missing[0]!r} is missing")
        values = {name: entries.get(key) for name, key in keys.items()}
        if values["levels"] is not None:
            values["levels"] = tuple(values["levels"])
        return cls(**values)


def digest(configuration: Mapping[str, object], tensors: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over the configuration and every tensor. An encoder and a decoder with the same digest are a pair."""
    sha = hashlib.sha256()
    sha.update(json.dumps(configuration, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(tensors):
        tensor = np.ascontiguousarray(tensors[name], dtype="<f4")
        shape = ",".join(map(str, np.shape(tensors[name])))  # ascontiguousarray makes a scalar 1-D
        sha.update(name.encode() + b"\0" + shape.encode() + b"\0")
        sha.update(tensor.data)
    return sha.hexdigest()


def write(
    folder: Path,
    description: Description,
    encoder: onnx.ModelProto,
    decoder: onnx.ModelProto,
    target: str = "cpu",
    precision: str = "fp32",
    attention_parts: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Write both graphs and `tokenizer.json`. A folder that holds the same tokenizer gains a variant.

    `attention_parts`: per role, into how many parts its attention over all positions splits the queries. Raises
    ValueError for a tokenizer or graphs that the plugin would refuse.
    """
    if target not in TARGETS or precision not in PRECISIONS:
        raise ValueError(f"target {target}, precision {precision}: targets are {TARGETS}, precisions {PRECISIONS}")
    description.check_limits()
    suffix = "".join(f".{part}" for part in (target, precision) if part not in ("cpu", "fp32"))
    variant = {"target": target, "precision": precision} | {role: f"{role}{suffix}.onnx" for role in ROLES}
    others = [v for v in _variants(folder, description) if (v["target"], v["precision"]) != (target, precision)]

    folder.mkdir(parents=True, exist_ok=True)
    for role, model in zip(ROLES, (encoder, decoder), strict=True):
        _check(model, role, description)
        properties = metadata(description, role, target, precision, attention_parts.get(role, 0))
        if role == "encoder":
            properties["vidtok.input"] = INPUTS[frames_of(model).type.tensor_type.elem_type]
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, properties)
        _write(folder / variant[role], model.SerializeToString())
    entries = description.entries() | {"variants": [variant, *others]}
    _write(folder / "tokenizer.json", (json.dumps(entries, indent=1, ensure_ascii=False) + "\n").encode())


def metadata(
    description: Description, role: str, target: str, precision: str, attention_parts: int = 0
) -> dict[str, str]:
    """A graph's `metadata_props`: the entries of `tokenizer.json` as text, and the entries about the graph, but for an
    encoder's `input`.
    """
    entries = description.entries() | {"role": role, "target": target, "precision": precision}
    if attention_parts:
        # The plugin estimates from it how much memory attention takes.
        entries["attention-parts"] = attention_parts
    return {f"vidtok.{key}": _text(value) for key, value in entries.items()}


def frames_of(encoder: onnx.ModelProto) -> onnx.ValueInfoProto:
    """An encoder's input `frames`."""
    return next(value for value in encoder.graph.input if value.name == "frames")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def _variants(folder: Path, description: Description) -> list[dict[str, str]]:
    """The variants of the same tokenizer that the folder already holds."""
    path = folder / "tokenizer.json"
    if not path.exists():
        return []
    entries = json.loads(path.read_text(encoding="utf-8"))
    variants = entries.pop("variants", [])
    return variants if entries == description.entries() else []


def _check(model: onnx.ModelProto, role: str, description: Description) -> None:
    """Refuse a graph that the plugin would refuse, before it is written."""
    onnx.checker.check_model(model)
    inputs = {i.name for i in model.graph.input}
    outputs = {o.name for o in model.graph.output}
    required_inputs = {"frames"} if role == "encoder" else {"tokens"}
    required_outputs = {"tokens"} if role == "encoder" else {"frames"}
    if description.causal:
        required_inputs.add("first")
    if role == "decoder" and description.decoder_delay:
        required_inputs.add("edge")
    states = {name for name in inputs if name.startswith("state.")}
    required_inputs |= states
    required_outputs |= {f"{name}.next" for name in states}
    if inputs != required_inputs or not required_outputs <= outputs:
        wrong = sorted((inputs ^ required_inputs) | (required_outputs - outputs))
        raise ValueError(f"the {role} graph's inputs and outputs are not those of a tokenizer: {', '.join(wrong)}")
    if role == "encoder" and (element := frames_of(model).type.tensor_type.elem_type) not in INPUTS:
        name = onnx.TensorProto.DataType.Name(element)
        raise ValueError(f"the encoder graph takes frames of {name}: known are UINT8 and FLOAT")


def _write(path: Path, content: bytes) -> None:
    """Replace the file by a rename, so that no reader sees half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
