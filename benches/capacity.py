#!/usr/bin/env python3
"""Whether examples/service/capacity.py is right: says for some kinds of streams how many hold, and runs them live.

    benches/capacity.py [--seconds 30] [--only NUMBER…]

About four minutes for each kind. It runs on the system's Python, with the plugin in GST_PLUGIN_PATH and ONNX Runtime in
ORT_DYLIB_PATH. Nothing else should run meanwhile; the table says what did.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[1] / "examples" / "service" / "capacity.py"
CASES = (
    "--role encode --video 256x256 --fps 15",
    "--role encode --video 128x128 --fps 30",
    "--role decode --video 256x256 --fps 15",
    "--role decode --video 256x256 --fps 15 --in-phase",
    "--role both --video 128x128 --fps 30",
    "--role encode --video 640x360 --input h264 --size 256x256 --fps 15",
)
HEADER = """
| streams | said | held | limited by | frames/s at full speed | others' processors |
| --- | ---: | ---: | --- | ---: | ---: |"""


def row(case: str, seconds: float, folder: Path) -> tuple[str, bool]:
    """A line of the table, and whether the answer was near enough."""
    figures = folder / "figures.json"
    command = [sys.executable, str(PROGRAM), *case.split(), "--check", f"--check-seconds={seconds}"]
    done = subprocess.run([*command, f"--json={figures}"])
    if not figures.exists():
        return f"| `{case}` | failed | | | | |", False
    found = json.loads(figures.read_text("utf-8"))
    figures.unlink()
    said, runs = found["answer"], found["runs"]
    others = max(run["others"] for run in runs)
    by = "memory" if said["by_memory"] is not None and said["by_memory"] < said["by_processors"] else "processors"
    rate = runs[-1]["frames_per_second"]
    return (
        f"| `{case}` | {said['streams']} | {found['holds']} | {by} | {rate:.0f} | {others:.1f} |",
        done.returncode == 0,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="how long each live run is (30)")
    parser.add_argument("--only", type=int, nargs="*", metavar="NUMBER", help=f"cases, 1 to {len(CASES)} (all)")
    options = parser.parse_args()
    chosen = [case for number, case in enumerate(CASES, 1) if not options.only or number in options.only]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in chosen:
            print(f"\n==> {case}", flush=True)
            rows.append(row(case, options.seconds, Path(folder)))
    print("\n".join([HEADER, *(text for text, _ in rows)]))
    return 0 if all(is_right for _, is_right in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
