"""The packages that set-up installs, and what it compiles."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("models", "models/training", "scripts", "tests", ".ci", "benches/loss", "examples/service", "examples/train")
ASKED_FOR = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("requirements.in"))


def name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def requirements(path: Path) -> list[str]:
    """The lines of a requirements file without comments; continued lines are joined."""
    lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def test_there_are_packages_to_pin() -> None:
    assert len(ASKED_FOR) == 8


@pytest.mark.parametrize("asked", ASKED_FOR, ids=str)
def test_every_package_is_pinned_to_a_version_and_its_hashes(asked: Path) -> None:
    pinned = requirements((ROOT / asked).with_name("requirements.txt"))
    for line in pinned:
        assert re.match(r"[A-Za-z0-9._-]+==[0-9][^ ]* .*--hash=sha256:[0-9a-f]{64}", line), line[:80]
    wanted = [line for line in requirements(ROOT / asked) if not line.startswith("-")]
    assert {name(line) for line in wanted} <= {name(line) for line in pinned}


@pytest.mark.parametrize(
    "script", ["export.py", *(f"training/{name}.py" for name in ("train", "to_onnx", "evaluate", "evaluate_student"))]
)
def test_help_is_there_before_anything_is_installed(script: str) -> None:
    # -S: without installed packages.
    command = [sys.executable, "-S", "-E", ROOT / "models" / script, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0 and shown.stdout.startswith("usage: "), shown.stderr


def test_a_missing_package_is_named_with_how_to_get_it() -> None:
    script = ROOT / "models" / "training" / "evaluate.py"
    command = [sys.executable, "-S", "-E", script, "folder", "--data", "data", "--output", "output"]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert f"pip install -r {script.with_name('requirements.txt')}" in refused.stderr


def test_evaluation_needs_no_pytorch() -> None:
    used = {"needed", "evaluate", "measure", "token_figures", "teacher", "footage", "graph_runner", "shape"}
    for module in used:
        source = (ROOT / "models" / "training" / f"{module}.py").read_text(encoding="utf-8")
        imported = set(re.findall(r"^\s*(?:import|from) (\w+)", source, re.MULTILINE))
        own = {path.stem for path in (ROOT / "models" / "training").glob("*.py")}
        assert "torch" not in imported and imported & own <= used, module


def compiled_plugin_again() -> bool:
    # The targets of tests/run.sh: with fewer, Cargo selects other features of some crates and compiles those again.
    targets = ["--workspace", "--lib", "--bins", "--tests", "--benches"]
    command = ["cargo", "build", "--locked", *targets, "--message-format=json", "--quiet"]
    messages = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    artifacts = [json.loads(line) for line in messages.splitlines() if '"compiler-artifact"' in line]
    return not all(artifact["fresh"] for artifact in artifacts)


@pytest.mark.skipif(shutil.which("cargo") is None, reason="there is no cargo")
def test_a_new_file_that_is_not_a_source_compiles_nothing_again() -> None:
    compiled_plugin_again()
    # The README exports tokenizers to this folder.
    with tempfile.TemporaryDirectory(dir=ROOT / "models") as folder:
        (Path(folder) / "encoder.onnx").write_bytes(b"a new graph")
        assert not compiled_plugin_again()
