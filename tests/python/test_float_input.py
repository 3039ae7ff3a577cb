"""Encoder graphs that take bytes are rewritten to take floats."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import byte_input
import toy
from golden import ROOT, configuration, weights
from vidtok_export import build, float_input

SCRIPT = ROOT / "models" / "float_input.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["vidtok_fsq_causal_488_32768_v1_1", "vidtok_kl_noncausal_488_4chn"])
def test_the_graphs_become_those_that_are_exported_now(tmp_path: Path, name: str) -> None:
    small = configuration(name, ch=4)
    for target, precision in itertools.product(("cpu", "gpu"), ("fp32", "fp16")):
        build.export(small, weights(small, seed=3), tmp_path, name, "MIT", precision=precision, target=target)
    exported = {path: onnx.load(path) for path in sorted(tmp_path.glob("encoder*.onnx"))}
    assert len(exported) == 4
    for path in exported:
        byte_input.rewrite(path)
        assert element_of_frames(path) == TensorProto.UINT8
    others = {path: path.read_bytes() for path in tmp_path.iterdir() if path not in exported}
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("takes float32 now") == 4
    assert {path: onnx.load(path) for path in exported} == exported
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path not in exported} == others
    assert run(tmp_path).stdout.count("took float32 already") == 4


def element_of_frames(path: Path) -> int:
    (frames,) = (value for value in onnx.load(path).graph.input if value.name == "frames")
    return frames.type.tensor_type.elem_type


def test_a_graph_that_calculates_with_bytes_is_refused(tmp_path: Path) -> None:
    g = toy.Toy("encoder")
    frames = g.input("frames", TensorProto.UINT8, ["N", 4, "H", "W", 3])
    darker = g.op("Div", g.op("Transpose", frames, perm=[0, 1, 4, 2, 3]), np.uint8(2))
    g.output(g.op("Cast", darker, to=TensorProto.FLOAT), "tokens", TensorProto.FLOAT, None)
    path = tmp_path / "encoder.onnx"
    onnx.save(g.model(), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="its operator Div calculates with bytes: export the tokenizer again"):
        float_input.rewrite(path)
    assert path.read_bytes() == before


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1 and f"float_input.py: {tmp_path}: " in done.stderr and "Traceback" not in done.stderr
    assert run().returncode == 1
