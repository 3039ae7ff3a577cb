"""From a file on, the element's tokens are those of VidTok's networks on the whole clip in PyTorch.

Nothing of ours is in the expected tokens: tests/data/clips/make.py reads, resizes and encodes with PyAV, torchvision
and PyTorch.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from golden import DATA, ROOT, Golden

CLIPS = DATA / "clips"
CASES = json.loads((CLIPS / "golden.json").read_text())["cases"]
MODELS = sorted({case["model"] for case in CASES})
KINDS = {"u2": "uint16", "u4": "uint32", "f4": "float32"}
TOLERANCE = 1e-4  # largest error of a right implementation in the mean, as in test_golden.py


@dataclass(frozen=True)
class Plugin:
    """The plugin and the tokenizers."""

    folder: Path

    def tokens(self, case: dict, dtype: np.dtype) -> np.ndarray:
        """The tokens of the clip's first frames and maybe some more, one after the other."""
        output = self.folder / "tokens"
        size = f"size={case['size']}" if case["size"] else ""
        # A decoder with threads still passes on frames behind the last one.
        line = (
            f"filesrc location={ROOT / case['clip']} ! decodebin ! identity eos-after={case['frames'] + 1}"
            f" ! vidtokenc model={self.folder / case['model']} {size}"
            f" ! video/x-vidtok,stream-format=raw,token-type={KINDS[dtype.str[1:]]} ! filesink location={output}"
        )
        environment = os.environ | {
            "GST_PLUGIN_PATH": str(self.folder / "plugins"),
            "GST_REGISTRY": str(self.folder / "registry.bin"),
        }
        command = ["gst-launch-1.0", "-q", *line.split()]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return np.fromfile(output, dtype)


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    folder = tmp_path_factory.mktemp("clips")
    for model in MODELS:
        Golden(DATA / "golden" / f"{model}.npz").export(folder / model, test_outputs=False)
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
    (folder / "plugins").mkdir()
    (folder / "plugins" / built.name).symlink_to(built)
    return Plugin(folder)


def name(number: int) -> str:
    case = CASES[number]
    return f"{Path(case['clip']).stem}-{case['size'] or 'own'}-{case['model']}"


@pytest.mark.parametrize("number", range(len(CASES)), ids=name)
def test_a_file_has_the_tokens_of_the_whole_clip_in_pytorch(plugin: Plugin, number: int) -> None:
    case = CASES[number]
    with np.load(CLIPS / "golden.npz") as golden:
        expected, ties = (golden.get(f"{key}{number}") for key in ("tokens", "ties"))
    expected = expected.ravel()
    found = plugin.tokens(case, expected.dtype)
    if case["goes_on"]:
        found = found[: len(expected)]
    assert found.shape == expected.shape
    if ties is None:
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
        return
    equal, tie = found == expected, np.unpackbits(ties, count=len(expected)).astype(bool)
    # Rounding may go either way at a border between levels, and with few such cells, all others say a lot.
    assert (equal | tie).all() and tie.mean() < 0.05
    # One token of so few may differ, on a machine that sums otherwise.
    least = 0.995 if case["size"] else 0.999
    assert np.sum(~equal) <= max(1, (1 - least) * len(expected))
