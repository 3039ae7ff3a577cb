"""What the tests of `vidtok_dataset` share: the program in its own environment, and videos for it."""

import io
import json
import os
import signal
import subprocess
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from golden import ROOT

# Debian's Python with GStreamer for Python, and the packages of dataset/requirements.txt.
PYTHON = os.environ.get("VIDTOK_DATASET_PYTHON", str(ROOT / ".local" / "dataset" / "bin" / "python"))
SIZE = (64, 48)


@dataclass(frozen=True)
class Program:
    """`vidtok-dataset` with the plugin of this checkout."""

    folder: Path

    @classmethod
    def new(cls, folder: Path) -> "Program":
        built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
        (folder / "plugins").mkdir()
        (folder / "plugins" / built.name).symlink_to(built)
        return cls(folder)

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "GST_PLUGIN_PATH": str(self.folder / "plugins"),
            "GST_REGISTRY": str(self.folder / "registry.bin"),
            "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("dataset", "python")),
        }

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [PYTHON, "-m", "vidtok_dataset", *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment(), cwd=self.folder, **pipes)

    def run(self, *arguments: str | Path, status: int = 0) -> str:
        """What it prints; it must end with `status`."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        assert process.returncode == status, out + err
        return out + err

    def killed_after(self, seconds: float, *arguments: str | Path) -> bool:
        """Kills the program once it has run for a while; returns whether it was still at work."""
        process = self.start(*arguments)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return process.returncode == -signal.SIGKILL


def make_video(path: Path, frames: int = 13, rate: str = "25", source: str = "testsrc2", codec: str = "") -> Path:
    """A small video that moves."""
    width, height = SIZE
    command = f"ffmpeg -v error -y -f lavfi -i {source}=s={width}x{height}:r={rate} -frames:v {frames} {codec}"
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command.split(), str(path)], check=True, timeout=60)
    return path


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a data set, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def tokens(folder: Path) -> dict[str, np.ndarray]:
    """The tokens of each sample of a data set in the layout webdataset."""
    found = {}
    for shard in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.name.endswith(".tokens.npy"):
                    file = tar.extractfile(member)
                    assert file is not None
                    found[member.name.removesuffix(".tokens.npy")] = np.load(io.BytesIO(file.read()))
    return found
