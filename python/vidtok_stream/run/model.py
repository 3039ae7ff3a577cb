"""A tokenizer's folder: its description, and which graph to run. Nothing in it is trusted."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .description import Description
from .errors import ModelError

Role = Literal["encoder", "decoder"]
Precision = Literal["fp32", "fp16"]
Model = str | os.PathLike[str] | None

BUILT_IN = "vidtok-small-488-32768"
"""The name of the tokenizer that comes with the package. gst-vidtok has it built in, too."""
MAX_DESCRIPTION_BYTES, MAX_GRAPH_BYTES = 1 << 20, (1 << 31) - 1


class Graph(NamedTuple):
    """A graph of a tokenizer's folder."""

    description: Description
    role: Role
    path: Path


def folder_of(model: Model) -> Path:
    """The folder of a model: a path to it; `None` or the built-in tokenizer's name is the built-in one."""
    if model is None or (model == BUILT_IN and not os.path.exists(BUILT_IN)):
        # In a checkout these are links to gst-vidtok's models folder, in an installed package they are files.
        return Path(__file__).with_name("built_in")
    folder = Path(model)
    if not folder.is_dir():
        raise ModelError(
            f"{folder} is no folder: a model is a tokenizer's folder, with tokenizer.json and its graphs, or none"
            f" for the built-in {BUILT_IN}"
        )
    return folder


def find(model: Model, role: Role, gpu: bool, precision: Precision | None) -> Graph:
    """The graph of a model that suits: of the wanted precision, else fp32 first; of the wanted target first."""
    folder = folder_of(model)
    path = folder / "tokenizer.json"
    try:
        facts = json.loads(_read(path, MAX_DESCRIPTION_BYTES))
        if not isinstance(facts, dict):
            raise ModelError("it is not a JSON object")
        description = Description.read(lambda key: _text(facts.get(key)))
        name = _choose(facts.get("variants"), role, gpu, precision)
    except (ModelError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ModelError) else f"it is not JSON: {error}"
        raise ModelError(f"cannot use {path}: {reason}") from error
    graph = folder / name
    # A link inside the folder may lead elsewhere: that is the user's own doing, while a name is the file's.
    if os.path.isabs(name) or ".." in Path(name).parts or "\0" in name:
        raise ModelError(f'cannot use {path}: the {role}\'s path "{name[:80]}" leads out of the folder')
    _check_file(graph, MAX_GRAPH_BYTES)
    return Graph(description, role, graph)


def check_metadata(graph: Graph, metadata: dict[str, str]) -> str:
    """Raises a `ModelError` unless a graph says of itself what its folder does; returns the type of its frames."""
    said = {key.removeprefix("vidtok."): value for key, value in metadata.items() if key.startswith("vidtok.")}
    if not said:
        raise ModelError(f"{graph.path} is no graph of a tokenizer: it has no vidtok. metadata")
    try:
        own = Description.read(said.get)
    except ModelError as error:
        raise ModelError(f"cannot use {graph.path}: {error}") from error
    if said.get("role") != graph.role:
        raise ModelError(f"{graph.path} is not the {graph.role}, but says it is the {said.get('role', '')[:40]!r}")
    if own != graph.description:
        names = [name for name in own.__dataclass_fields__ if getattr(own, name) != getattr(graph.description, name)]
        raise ModelError(f"{graph.path} is of another tokenizer than its tokenizer.json: {', '.join(names)} differ")
    if (taken := said.get("input", "uint8")) not in ("uint8", "float32"):
        raise ModelError(f'cannot use {graph.path}: the key "input" has the impossible value "{taken[:40]}"')
    return taken


def _choose(variants: object, role: Role, gpu: bool, precision: Precision | None) -> str:
    if not isinstance(variants, list):
        raise ModelError('the key "variants" is not a list')
    targets: Sequence[str] = ("gpu", "cpu") if gpu else ("cpu", "gpu")
    for wanted in [precision] if precision else ["fp32", "fp16"]:
        for target in targets:
            for variant in variants:
                if not isinstance(variant, dict):
                    raise ModelError("a variant is not an object")
                if (variant.get("precision"), variant.get("target")) != (wanted, target):
                    continue
                if not isinstance(name := variant.get(role), str) or not name:
                    raise ModelError(f"a variant has no path of its {role}")
                return name
    raise ModelError(f"it has no variant of precision {precision}" if precision else "it has no variant")


def _text(value: Any) -> str | None:
    """A JSON value as a graph's metadata would spell it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_text(part) or "" for part in value[:1024] if not isinstance(part, list))
    return None if value is None else str(value)


def _check_file(path: Path, limit: int) -> None:
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    # A pipe or device would keep the reader waiting.
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        raise ModelError(f"cannot use {path}: it is not a regular file of at most {limit} bytes")


def _read(path: Path, limit: int) -> bytes:
    _check_file(path, limit)
    try:
        with open(path, "rb") as file:
            return file.read(limit)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
