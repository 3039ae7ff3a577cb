"""docs/graphs.md and what the exporter writes say the same, in both directions."""

import itertools
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import toy
from golden import ROOT, configuration, weights
from vidtok_export import build, limits, operators, tokenizer
from vidtok_export.tokenizer import ROLES, Description

DOCUMENT = (ROOT / "docs" / "graphs.md").read_text(encoding="utf-8")
STREAM_DOCUMENT = (ROOT / "docs" / "stream.md").read_text(encoding="utf-8")
BUILT_IN = ROOT / "models" / "vidtok-small-488-32768"

EXPORTED = {
    "v1.1 fsq": "vidtok_fsq_causal_488_32768_v1_1",
    "v1.1 kl": "vidtok_kl_causal_41616_16chn_v1_1",
    "v1.0 fsq": "vidtok_fsq_causal_488_4096",
    "v1.0 kl": "vidtok_kl_causal_288_8chn",
    "non-causal fsq": "vidtok_fsq_noncausal_41616_262144",
    "non-causal kl": "vidtok_kl_noncausal_488_4chn",
}

Row = dict[str, str]
Shape = list[int | str]


def tables(header: str) -> list[list[Row]]:
    """The tables under such a header row, each row as a dict; cells that are code lose their backticks."""
    found = []
    for block in re.findall(rf"^{re.escape(header)}\n\|[- |]+\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE):
        names = cells(header)
        found.append([dict(zip(names, cells(line), strict=True)) for line in block.splitlines()])
    return found


def cells(line: str) -> list[str]:
    found = [cell.strip() for cell in line.strip().strip("|").split("|")]
    return [cell[1:-1] if re.fullmatch(r"`[^`]*`", cell) else cell for cell in found]


def block(name: str) -> str:
    """The text of the code block with this name."""
    found = re.search(rf"^```{name}\n(.*?)\n```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


DESCRIPTION, VARIANTS = tables("| key | JSON | needed | value |")
(OWN_METADATA,) = tables("| key | needed | value |")
(PORTS,) = tables("| graph | name | | element | shape | exists | needed |")
(OPERATORS,) = tables("| operator | inputs | result |")
(LIMITS,) = tables("| | at most |")


@dataclass(frozen=True)
class Folder:
    path: Path
    streams: dict[str, int | str]  # per target: what the graphs have for N

    @property
    def entries(self) -> dict:
        return json.loads((self.path / "tokenizer.json").read_text())

    def graphs(self) -> list[tuple[dict, str, onnx.ModelProto]]:
        """Every graph, with its variant and role."""
        pairs = itertools.product(self.entries["variants"], ROLES)
        return [(variant, role, onnx.load(self.path / variant[role])) for variant, role in pairs]


OTHERS = ["GPU graphs for two streams", "built in", "by other tools", "by other tools, of floats"]


@pytest.fixture(scope="module", params=[*EXPORTED, *OTHERS])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("tokenizer")
    if request.param == "built in":
        return Folder(BUILT_IN, {"cpu": 1})
    if request.param.startswith("by other tools"):
        toy.export(path, "toy", floats=request.param.endswith("floats"))
        return Folder(path, {"cpu": "N", "gpu": "N"})
    name = EXPORTED.get(request.param, EXPORTED["v1.1 fsq"])
    small = configuration(name, ch=4)
    tensors = weights(small, seed=3)
    if request.param not in EXPORTED:
        build.export(small, tensors, path, name, "MIT", target="gpu", streams=2)
        return Folder(path, {"gpu": 2})
    for target, precision in itertools.product(("cpu", "gpu"), ("fp32", "fp16")):
        build.export(small, tensors, path, name, "MIT", precision=precision, target=target)
    return Folder(path, {"cpu": 1, "gpu": "N"})


def is_needed(needed: str, entries: dict) -> bool:
    assert needed in ("always", "fsq", "kl"), needed
    return needed in ("always", entries["regularizer"])


def is_of_type(value: object, kind: str) -> bool:
    if kind.startswith("array of "):
        one = kind.removeprefix("array of ").removesuffix("s")
        return isinstance(value, list) and all(is_of_type(item, one) for item in value)
    types = {"string": str, "integer": int, "boolean": bool, "object": dict}
    return type(value) is types[kind]


def test_tokenizer_json(folder: Folder) -> None:
    entries = folder.entries
    variants, *keys_of_a_variant = VARIANTS
    rows = {row["key"]: row for row in [*DESCRIPTION, variants] if is_needed(row["needed"], entries)}
    assert entries.keys() == rows.keys()
    for key, value in entries.items():
        assert is_of_type(value, rows[key]["JSON"]), key
    for variant in entries["variants"]:
        assert [f"variants[].{key}" for key in variant] == [row["key"] for row in keys_of_a_variant]
        assert all(is_of_type(variant[key], row["JSON"]) for key, row in zip(variant, keys_of_a_variant, strict=True))
        for key in ("target", "precision"):
            (value,) = (row["value"] for row in keys_of_a_variant if row["key"] == f"variants[].{key}")
            assert f"`{variant[key]}`" in value


def test_metadata(folder: Folder) -> None:
    entries = folder.entries
    needed = {f"vidtok.{row['key']}" for row in DESCRIPTION if is_needed(row["needed"], entries)}
    own = {row["key"]: row["needed"] for row in OWN_METADATA}
    assert set(own.values()) == {"always", "optional"}
    needed |= {key for key, when in own.items() if when == "always"}
    for variant, role, model in folder.graphs():
        found = {entry.key: entry.value for entry in model.metadata_props}
        assert needed <= found.keys() <= needed | own.keys()
        said = entries | variant | {"role": role}
        for key, text in found.items():
            if key not in ("vidtok.attention-parts", "vidtok.input"):
                assert text == as_text(said[key.removeprefix("vidtok.")]), key

        (own_input,) = (row["value"] for row in OWN_METADATA if row["key"] == "vidtok.input")
        assert ("vidtok.input" in found) == (role == "encoder")
        assert f"`{input_of(model)}`" in own_input


def input_of(model: onnx.ModelProto) -> str:
    return {entry.key: entry.value for entry in model.metadata_props}.get("vidtok.input", "uint8")


def as_text(value: object) -> str:
    if isinstance(value, bool):
        return {True: "true", False: "false"}[value]
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def test_inputs_and_outputs(folder: Folder) -> None:
    entries = folder.entries
    exists = {
        "always": True,
        "causal": entries["causal"],
        "late": entries["decoder-delay"] > 0,
        "fsq": entries["regularizer"] == "fsq",
        "kl": entries["regularizer"] == "kl",
    }
    for variant, role, model in folder.graphs():
        exists |= {kind: kind == input_of(model) for kind in ("uint8", "float32")}
        rows = [row for row in PORTS if row["graph"] == role and exists[row["exists"]]]
        symbols = symbols_of(entries, folder.streams[variant["target"]])
        ports = {"input": model.graph.input, "output": model.graph.output}
        states = {v.name: (element(v), shape(v)) for v in model.graph.input if v.name.startswith("state.")}
        assert bool(states) == any(row["name"] == "state.X" for row in rows)
        for kind, values in ports.items():
            found = {v.name: (element(v), shape(v)) for v in values}
            expected = {}
            for row in (row for row in rows if row[""] == kind):
                if row["name"] == "state.X":
                    assert (row["element"], row["shape"]) == ("any", "[N, …]")
                    assert all(shape[0] == symbols["N"] for _, shape in states.values())
                    expected |= states
                elif row["name"] == "state.X.next":
                    assert {row["element"], row["shape"]} == {"as `state.X`"}
                    expected |= {f"{name}.next": port for name, port in states.items()}
                else:
                    sizes = [symbols.get(size, size) for size in row["shape"].strip("[]").split(", ")]
                    expected[row["name"]] = (row["element"], [int(s) if str(s).isdigit() else s for s in sizes])
            assert found == expected, f"{role}, {variant['target']}"
            assert all(is_a_size(size) for _, sizes in found.values() for size in sizes)


def symbols_of(entries: dict, streams: int | str) -> dict[str, int | str | None]:
    frames = entries["time-factor"] if entries["causal"] else entries["window"]
    scale = entries["space-factor"]
    return {
        "N": streams,
        "T": frames,
        "L": 1 if entries["causal"] else frames // entries["time-factor"],
        "H/s": f"H/{scale}",
        "W/s": f"W/{scale}",
        "C": entries.get("channels"),
    }


def element(value: onnx.ValueInfoProto) -> str:
    return TensorProto.DataType.Name(value.type.tensor_type.elem_type)


def shape(value: onnx.ValueInfoProto) -> Shape:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def is_a_size(size: int | str) -> bool:
    """A number, or one of the symbols that the plugin knows."""
    symbols = {"N", "H", "W"} | {f"{side}/{k}" for side in "HW" for k in range(2, 65)}
    assert "`N`, `H`, `W`, `H/k` and `W/k` for k from 2 to 64" in DOCUMENT
    return size in symbols if isinstance(size, str) else size > 0


def test_all_rows_are_met_by_some_graph() -> None:
    """So that the tests above compare every row with something."""
    assert {row["exists"] for row in PORTS} == {"always", "causal", "late", "fsq", "kl", "uint8", "float32"}
    assert {row["needed"] for row in DESCRIPTION} == {"always", "fsq", "kl"}


def test_operators() -> None:
    convolutions = (*operators.CONVOLUTIONS.values(), *operators.CONVOLUTIONS_OVER_TIME.values())
    all_of_them = (operators.NORM, operators.NORM_SILU, operators.CARRIED, *convolutions)
    ours = {operator.name: operator for operator in all_of_them}
    assert [row["operator"] for row in OPERATORS] == list(ours)
    for row in OPERATORS:
        assert re.findall(r"`(\w+)`", row["inputs"]) == list(ours[row["operator"]].inputs)
    assert f"the domain `{operators.DOMAIN}`, version {operators.VERSION}." in DOCUMENT
    assert f"operator set {operators.OPSET}." in DOCUMENT.replace("\n", " ")


def test_operators_of_a_folder(folder: Folder) -> None:
    for variant, _, model in folder.graphs():
        used = {node.op_type for node in model.graph.node if node.domain == operators.DOMAIN}
        assert {function.name for function in model.functions} == used
        assert used <= {row["operator"] for row in OPERATORS}
        assert not used or variant["target"] == "cpu"


def test_the_example_of_a_digest() -> None:
    entries = json.loads(block("json digest"))
    tensors = {"encoder.weight": np.float32([[1, -2]]), "decoder.bias": np.float32(0.5)}
    assert tokenizer.digest(entries, tensors) == block("text digest")


def test_limits() -> None:
    said = {row[""]: int(re.match(r"[\d,]+", row["at most"])[0].replace(",", "")) for row in LIMITS}
    ours = {
        "name": limits.MAX_NAME_BYTES,
        "time-factor": limits.MAX_TIME_FACTOR,
        "space-factor": limits.MAX_SPACE_FACTOR,
        "window": limits.MAX_WINDOW,
        "`channels`, and the number of `levels`": limits.MAX_CHANNELS,
        "the product of `levels`, the codebook's size": limits.MAX_CODEBOOK,
    }
    assert said.items() >= ours.items()


def test_a_stream_holds_what_a_tokenizer_may_be() -> None:
    """The byte stream's limits, of docs/stream.md, are the same."""
    rows = {cells(line)[0]: line for line in STREAM_DOCUMENT.splitlines() if line.startswith("| `")}
    for key, name in (
        ("time-factor", "MAX_TIME_FACTOR"),
        ("space-factor", "MAX_SPACE_FACTOR"),
        ("channels", "MAX_CHANNELS"),
    ):
        assert f"1 to `{name}`" in rows[key], key
        assert cells(rows[name])[1] == str(getattr(limits, name))
    assert "at most `MAX_CODEBOOK`" in rows["codebook-size"]
    assert limits.MAX_CODEBOOK == 2**24 and cells(rows["MAX_CODEBOOK"])[1] == "2²⁴"


FITS = Description(
    name="n" * 256,
    digest="0" * 64,
    family="toy",
    regularizer="fsq",
    levels=(2,) * 24,
    channels=None,
    time_factor=4,
    space_factor=toy.CELL,
    causal=True,
    window=0,
    decoder_delay=3,
    licence="MIT",
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "n" * 257}, "bytes of the name: 257, at most 256"),
        ({"time_factor": 65}, "time-factor: 65, at most 64"),
        ({"space_factor": 65}, "space-factor: 65, at most 64"),
        ({"window": 272}, "window: 272, at most 256"),
        ({"levels": None, "channels": 65}, "channels: 65, at most 64"),
        ({"levels": (2,) * 25}, "codebook: 33554432, at most 16777216"),
    ],
)
def test_a_tokenizer_beyond_the_limits_is_not_written(tmp_path: Path, change: dict, message: str) -> None:
    FITS.check_limits()
    with pytest.raises(ValueError, match=message):
        tokenizer.write(tmp_path / "out", replace(FITS, **change), toy.encoder(), toy.decoder())
    assert not (tmp_path / "out").exists()
