"""Where the project's Python packages are, for all tests."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "dataset"), str(ROOT / "examples" / "view")]
