"""The graphs for `--target cpu`: descriptions, inputs and outputs, operators; and tokenizer folders."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from golden import PUBLISHED, configuration, weights
from vidtok_export import build, tokenizer
from vidtok_export.weights import WeightsError

V1_1 = "vidtok_fsq_causal_488_32768_v1_1"
ONE_EACH = [V1_1, "vidtok_kl_causal_288_8chn", "vidtok_fsq_noncausal_41616_262144", "vidtok_fsq_causal_888_32768_v1_1"]


@pytest.fixture(scope="module", params=ONE_EACH)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = configuration(request.param, ch=8)
    folder = tmp_path_factory.mktemp(request.param)
    build.export(small, weights(small, seed=3), folder, request.param, "MIT")
    return folder


def facts(folder: Path) -> dict:
    return json.loads((folder / "tokenizer.json").read_text())


def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
    return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}


def test_graphs_repeat_what_tokenizer_json_says(folder: Path) -> None:
    said = facts(folder)
    for role in ("encoder", "decoder"):
        model = onnx.load(folder / f"{role}.onnx")
        properties = {p.key.removeprefix("vidtok."): p.value for p in model.metadata_props}
        assert properties.pop("role") == role
        assert (properties.pop("target"), properties.pop("precision")) == ("cpu", "fp32")
        assert properties.pop("attention-parts") == "16"
        assert properties.pop("input", None) == {"encoder": "float32", "decoder": None}[role]
        expected = {key: value for key, value in said.items() if key != "variants"}
        assert set(properties) == set(expected)
        for key, value in expected.items():
            text = ",".join(map(str, value)) if isinstance(value, list) else json.dumps(value).strip('"')
            assert properties[key] == text
        assert model.opset_import[0].version == 18


def test_published_factors(folder: Path) -> None:
    said = facts(folder)
    published = PUBLISHED[said["name"]]
    assert said["time-factor"] == published["time_factor"]
    assert said["space-factor"] == published["space_factor"]
    assert said["family"] == published["family"]
    assert said["causal"] == (published["family"] != "noncausal")
    assert said["decoder-delay"] == (said["time-factor"] - 1 if said["family"] == "causal_v1_1" else 0)
    assert said["window"] == (0 if said["causal"] else 16)


def test_inputs_and_outputs(folder: Path) -> None:
    said = facts(folder)
    count = said["window"] or said["time-factor"]
    picture = [1, count, "H", "W", 3]
    s = said["space-factor"]
    grid = [1, count // said["time-factor"], f"H/{s}", f"W/{s}"]
    tokens = grid if said["regularizer"] == "fsq" else [*grid, said["channels"]]
    causal = {"first": [1]} if said["causal"] else {}
    edge = {"edge": [1]} if said["decoder-delay"] else {}

    for role, inputs, outputs in (
        ("encoder", {"frames": picture, **causal}, {"tokens": tokens}),
        ("decoder", {"tokens": tokens, **causal, **edge}, {"frames": picture}),
    ):
        graph = onnx.load(folder / f"{role}.onnx").graph
        found_in, found_out = shapes(graph.input), shapes(graph.output)
        states = {name: shape for name, shape in found_in.items() if name.startswith("state.")}
        if "channels" in said and role == "encoder":
            outputs = {**outputs, "logvar": tokens}
        assert found_in == inputs | states
        assert found_out == outputs | {f"{name}.next": shape for name, shape in states.items()}
        assert bool(states) == said["causal"]
        for name, shape in states.items():
            assert re.fullmatch(r"state(\.\w+)+", name)
            assert shape[0] == 1 and isinstance(shape[1], int)
            assert re.fullmatch(r"H(/\d+)?", shape[2]) and shape[3] == shape[2].replace("H", "W")


def test_operators_that_are_fast_on_a_cpu(folder: Path) -> None:
    """No operator has kernels of five dimensions, and the custom operators consist of ONNX's."""
    causal = {"Carried"} if facts(folder)["causal"] else set()
    for role in ("encoder", "decoder"):
        model = onnx.load(folder / f"{role}.onnx")
        graph, functions = model.graph, model.functions
        custom = {node.op_type for node in graph.node if node.domain == "vidtok"}
        assert {name for name in custom if not name.startswith("Conv")} == {"Norm", "NormSilu"} | causal
        assert {"Conv3x3", "Conv3x3Add", "ConvOverTime2", "ConvOverTime2Add"} <= custom
        assert custom == {function.name for function in functions}
        nodes = [*graph.node, *(node for function in functions for node in function.node)]
        assert {node.domain for node in nodes} == {"", "vidtok"}
        assert {"If", "Loop", "Pad", "LayerNormalization"}.isdisjoint(node.op_type for node in nodes)
        assert max(len(weight.dims) for weight in graph.initializer) == 4


def test_attention_in_bounded_memory(tmp_path: Path) -> None:
    """One step takes far less memory than the scores of all positions with all would take."""
    name, size = "vidtok_kl_causal_444_4chn", 512
    small = configuration(name, ch=4)
    build.export(small, weights(small, seed=3), tmp_path, name, "MIT")
    step = f"""
import resource, sys
import numpy as np
sys.path.insert(0, {str(Path(__file__).parent)!r})
from stepping import Graph
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
graph = Graph({str(tmp_path / "encoder.onnx")!r}, {size}, {size})
loaded = peak()
graph.step(frames=np.zeros(graph.inputs["frames"].shape), first=[True])
print(peak() - loaded)
"""
    done = subprocess.run([sys.executable, "-c", step], capture_output=True, text=True, timeout=120, check=True)
    every_score = 4 * (size // small.space_factor) ** 4
    assert int(done.stdout) * 1024 < every_score / 2


def test_digest() -> None:
    small = configuration(V1_1, ch=8).canonical()
    tensors = {"encoder.a": np.arange(6, dtype=np.float32).reshape(2, 3), "decoder.b": np.float32([1])}
    digest = tokenizer.digest(small, tensors)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert digest == tokenizer.digest(dict(reversed(small.items())), dict(reversed(tensors.items())))
    assert digest == tokenizer.digest(small, {name: np.asfortranarray(t) for name, t in tensors.items()})
    others = [
        tokenizer.digest(configuration("vidtok_fsq_causal_488_32768", ch=8).canonical(), tensors),
        tokenizer.digest(small, tensors | {"decoder.b": np.float32([2])}),
        tokenizer.digest(small, tensors | {"encoder.a": tensors["encoder.a"].reshape(3, 2)}),
        tokenizer.digest(small, {"encoder.a": tensors["encoder.a"], "decoder.c": tensors["decoder.b"]}),
    ]
    assert len({digest, *others}) == 5


def test_misfits_are_named(tmp_path: Path) -> None:
    small = configuration(V1_1, ch=8)
    tensors = weights(small, seed=3)
    del tensors["encoder.mid.attn_1.q.conv.bias"]
    tensors["decoder.norm_out.norm.weight"] = np.zeros(9, np.float32)
    tensors["decoder.up.7.something"] = np.zeros(1, np.float32)
    with pytest.raises(WeightsError) as error:
        build.export(small, tensors, tmp_path, "broken", "MIT")
    assert "encoder.mid.attn_1.q.conv.bias: missing, needed [32]" in str(error.value)
    assert "decoder.norm_out.norm.weight: has shape [9], needed [8]" in str(error.value)
    assert "decoder.up.7.something: not in this network" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_keeps_the_variants_of_its_tokenizer_only(folder: Path, tmp_path: Path) -> None:
    said = facts(folder)
    small = configuration(said["name"], ch=8)
    graphs = [onnx.load(folder / f"{role}.onnx") for role in ("encoder", "decoder")]
    for licence, count in (("MIT", 1), ("Apache-2.0", 1)):
        description = build.describe(small, weights(small, seed=3), said["name"], licence)
        tokenizer.write(tmp_path, description, *graphs)
        assert len(facts(tmp_path)["variants"]) == count
    tokenizer.write(tmp_path, description, *graphs, target="gpu", precision="fp16")
    assert {(v["target"], v["precision"]) for v in facts(tmp_path)["variants"]} == {("cpu", "fp32"), ("gpu", "fp16")}
    for variant in facts(tmp_path)["variants"]:
        assert (tmp_path / variant["encoder"]).exists() and (tmp_path / variant["decoder"]).exists()
