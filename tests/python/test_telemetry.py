"""ONNX Runtime in Python sends no telemetry. The processes have empty folders and no variables of CI, as users have."""

import os
import subprocess
import sys
from pathlib import Path

MODELS = Path(__file__).resolve().parents[2] / "models"
FOLDERS = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")
USE = "onnxruntime.InferenceSession({model!r}, providers=['CPUExecutionProvider'])"


def files_written(folder: Path, program: str) -> list[Path]:
    """The files that a Python program writes to its home and cache folders, which are below `folder`."""
    environment = {name: str(folder / name) for name in FOLDERS}
    for path in environment.values():
        Path(path).mkdir(parents=True)
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(MODELS), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_session_writes_no_file(tmp_path: Path) -> None:
    model = str(MODELS / "vidtok-small-488-32768" / "decoder.onnx")
    program = f"from vidtok_export.onnx_runtime import onnxruntime; {USE.format(model=model)}"
    assert files_written(tmp_path, program) == []


def test_the_runner_of_vidtok_stream_writes_no_file(tmp_path: Path) -> None:
    package = MODELS.parent / "python"
    program = f"import sys; sys.path.insert(0, {str(package)!r}); import os, numpy, vidtok_stream.run as run"
    program += "; run.Encoder().encode(numpy.zeros((1, 8, 8, 3), numpy.uint8))"
    program += "; assert os.environ['ORT_DISABLE_TELEMETRY'] == '1'"
    assert files_written(tmp_path, program) == []


def test_what_the_user_has_set_stays() -> None:
    program = "from vidtok_export import onnx_runtime; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {**os.environ, "PYTHONPATH": str(MODELS), "ORT_DISABLE_TELEMETRY": "chosen"}
    run = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "chosen"
