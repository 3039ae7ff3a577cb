"""The command line as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from golden import DATA, PUBLISHED, ROOT, Golden, document
from stepping import Tokenizer

NAME = "vidtok_fsq_causal_488_32768_v1_1"


def export(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "models" / "export.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden(DATA / "golden" / f"{NAME}.npz")


@pytest.fixture(scope="module")
def files(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("published")
    config, weights = folder / f"{NAME}.yaml", folder / f"{NAME}.safetensors"
    config.write_text(yaml.safe_dump(document(NAME, golden.meta["ch"])))
    save_file(golden.tensors, weights)
    return config, weights


def test_from_files_to_tokens(golden: Golden, files: tuple[Path, Path], tmp_path: Path) -> None:
    done = export("--config", files[0], "--checkpoint", files[1], "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert (said["name"], said["licence"]) == (NAME, "MIT")
    assert said["digest"] in done.stdout
    tokenizer = Tokenizer(tmp_path / "out", *golden.arrays["frames"].shape[1:3])
    encoded = tokenizer.encode(golden.arrays["frames"])
    np.testing.assert_array_equal(encoded["tokens"], golden.arrays["indices"])
    assert set(encoded) == {"tokens"}


def test_half_precision_beside_full(golden: Golden, files: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ("--config", files[0], "--checkpoint", files[1], "--output", tmp_path)
    for precision in ("fp32", "fp16"):
        done = export(*arguments, "--precision", precision)
        assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "tokenizer.json").read_text())
    variants = {v["precision"]: (v["target"], v["encoder"], v["decoder"]) for v in said["variants"]}
    assert variants == {
        "fp32": ("cpu", "encoder.onnx", "decoder.onnx"),
        "fp16": ("cpu", "encoder.fp16.onnx", "decoder.fp16.onnx"),
    }


def test_for_a_gpu_beside_a_cpu(golden: Golden, files: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ("--config", files[0], "--checkpoint", files[1], "--output", tmp_path)
    done = [export(*arguments), export(*arguments, "--target", "gpu", "--streams", 2)]
    assert [run.returncode for run in done] == [0, 0], [run.stderr for run in done]
    said = json.loads((tmp_path / "tokenizer.json").read_text())
    assert all(said["digest"] in run.stdout for run in done)
    assert {(v["target"], v["encoder"], v["decoder"]) for v in said["variants"]} == {
        ("cpu", "encoder.onnx", "decoder.onnx"),
        ("gpu", "encoder.gpu.onnx", "decoder.gpu.onnx"),
    }
    frames = golden.arrays["frames"]
    tokenizer = Tokenizer(tmp_path, *frames.shape[1:3], target="gpu", streams=2)
    assert {i.shape[0] for graph in (tokenizer.encoder, tokenizer.decoder) for i in graph.inputs.values()} == {2}
    encoded = tokenizer.encode_all([[frames[:1]], [frames[:5]]], starts=(0, 1))
    np.testing.assert_array_equal(encoded[1][0]["tokens"], golden.arrays["indices"][:2])


def test_name_and_licence(files: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ("--config", files[0], "--checkpoint", files[1], "--output", tmp_path / "out", "--name", "mine")
    refused = export(*arguments)
    assert refused.returncode != 0 and "--licence" in refused.stderr
    done = export(*arguments, "--licence", "CC-BY-4.0", "--test-outputs")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert (said["name"], said["licence"]) == ("mine", "CC-BY-4.0")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--config, --checkpoint, --output needed"),
        (("--precision", "int8"), "invalid choice: 'int8'"),
        (("--target", "tpu"), "invalid choice: 'tpu'"),
        (("--target", "gpu", "--streams", 0), "'0' is not a number of streams"),
        (("--streams", 2), "add --target gpu"),
        (("--checkpoint", DATA / "tiny.ckpt"), "does not fit the configuration"),
        (("--checkpoint", DATA / "missing.ckpt"), "missing.ckpt"),
        (("--config", DATA / "tiny.ckpt"), "tiny.ckpt: not YAML"),
        (("--name", "../x"), "use letters"),
    ],
)
def test_errors_are_one_message(
    files: tuple[Path, Path], tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    usual = ("--config", files[0], "--checkpoint", files[1], "--output", tmp_path / "out", "--licence", "MIT")
    failed = export(*usual, *arguments) if arguments else export()
    assert failed.returncode != 0
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_configuration_is_not_reported_as_unpublished(files: tuple[Path, Path], tmp_path: Path) -> None:
    failed = export("--config", tmp_path / "mine.yaml", "--checkpoint", files[1], "--output", tmp_path / "out")
    assert failed.returncode != 0
    assert "mine.yaml: no such file" in failed.stderr and "--licence" not in failed.stderr.splitlines()[-1]


QUALITY = (("psnr_db", ".2f"), ("ssim", ".3f"), ("lpips", ".3f"), ("fvd", ".1f"))


def test_list() -> None:
    listed = export("--list")
    assert listed.returncode == 0
    lines = listed.stdout.splitlines()[1:-1]
    assert [line.split()[0] for line in lines] == list(PUBLISHED)
    # 7.5 latent frames per second of 32 × 32 cells: 15 bits each, or 4 channels of 16 bits.
    for name, rate in (("vidtok_fsq_causal_488_32768", "115"), ("vidtok_kl_causal_488_4chn", "492")):
        line = next(line.split() for line in lines if line.split()[0] == name)
        quality = PUBLISHED[name]["published"]
        assert line[-5:] == [rate, *(format(quality[k], d) for k, d in QUALITY)]


def test_a_reader_that_closes_the_pipe_gets_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "models" / "export.py"), "--list"]
    listed = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (listed.returncode, listed.stderr) == (0, "")
