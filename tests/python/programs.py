"""What tests of the example programs share."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
CLIP = EXAMPLES / "signing.mp4"
# A Python that has the system's GStreamer, and NumPy.
PYTHON = os.environ.get("VIDTOK_DATASET_PYTHON", str(ROOT / ".local" / "dataset" / "bin" / "python"))
# Seconds that a program has.
PATIENCE = 60


def environment() -> dict[str, str]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    # The tests' modules are not for the examples.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**own, "GST_PLUGIN_PATH": str(target / "debug")}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment(), timeout=PATIENCE, capture_output=True, text=True)


def succeed(*command: str | Path) -> str:
    """What a program printed that has no error and no complaint."""
    done = run(*command)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return done.stdout


def fail(*command: str | Path) -> str:
    """What a program said of its error. It is a sentence, not a trace."""
    done = run(*command)
    assert done.returncode > 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stderr
