"""Half precision: how far results may change, and what stays float32."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from golden import DATA, Golden
from stepping import Tokenizer
from vidtok_export import build

ONE_EACH = ["fsq_causal_488_32768_v1_1", "fsq_causal_488_4096", "kl_causal_444_4chn", "fsq_noncausal_41616_262144"]

# One rounding to float16 is off by up to 2⁻¹¹ of the value. A path through either network has some 150 roundings, whose
# errors add up like the steps of a random walk. Values there are about 1.
ROUNDING = 150**0.5 * 2**-11


@pytest.fixture(scope="module", params=ONE_EACH)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(DATA / "golden" / f"vidtok_{request.param}.npz")


@pytest.fixture(scope="module")
def folder(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    for target, precision in (("cpu", "fp32"), ("cpu", "fp16"), ("gpu", "fp16")):
        golden.export(folder, test_outputs=True, precision=precision, target=target)
    return folder


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_tokens_and_pixels(golden: Golden, folder: Path, target: str) -> None:
    expected, levels = golden.arrays, golden.configuration.levels
    tokenizer = Tokenizer(folder, *expected["frames"].shape[1:3], precision="fp16", target=target)
    encoded = tokenizer.encode(expected["frames"])
    decoded = tokenizer.decode(expected["indices" if levels else "mean"])
    assert rms(decoded["recon"] - expected["recon"]) < ROUNDING  # a PSNR above 50 dB
    if not levels:
        assert rms(encoded["tokens"] - expected["mean"]) < ROUNDING
        return
    assert rms(encoded["z"] - expected["z"]) < ROUNDING
    # A digit changes where its error, at most half its levels times the error of z, carries it over a border between
    # two levels; the borders are 1 apart.
    differ = (encoded["tokens"] != expected["indices"]).mean()
    assert differ <= sum(n / 2 * ROUNDING for n in levels)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt((error**2).mean()))


def test_half_the_size(folder: Path) -> None:
    for role in ("encoder", "decoder"):
        full, half = ((folder / f"{role}{suffix}.onnx").stat().st_size for suffix in ("", ".fp16"))
        assert half < 0.6 * full  # the nodes of such a narrow network take up to a tenth of the file


def test_types(golden: Golden, folder: Path) -> None:
    for role in ("encoder", "decoder"):
        model = onnx.shape_inference.infer_shapes(onnx.load(folder / f"{role}.fp16.onnx"))
        assert {p.key: p.value for p in model.metadata_props}["vidtok.precision"] == "fp16"
        graph = model.graph
        ends = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
        for name, type_ in ends.items():
            assert (type_ == TensorProto.FLOAT16) == name.startswith("state.")
        assert any(name.startswith("state.") for name in ends) == golden.configuration.family.causal
        types = ends | {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
        kinds = {kind: {types[n.input[0]] for n in graph.node if n.op_type == kind} for kind in ("Conv", "Softmax")}
        assert kinds == {"Conv": {TensorProto.FLOAT16}, "Softmax": {TensorProto.FLOAT}}
        for node in graph.node:
            if node.op_type in ("Sqrt", "Sigmoid", "Tanh", "Round", "Clip", "Div"):
                assert types[node.input[0]] != TensorProto.FLOAT16, node.name


def test_numbers_that_float16_cannot_hold(golden: Golden, tmp_path: Path) -> None:
    network = golden.configuration
    name = "encoder.down.0.block.0.conv1.bias"
    tensors = golden.tensors | {name: np.full(network.ch, 1e5, np.float32)}
    with pytest.raises(ValueError, match=f"{name}: .* export it as fp32"):
        build.export(network, tensors, tmp_path, "large", "MIT", precision="fp16")
    assert not list(tmp_path.iterdir())
