"""Fixtures that several test files use."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import needed  # noqa: F401  makes vidtok_export importable


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A folder of one video and one photograph."""
    folder = tmp_path / "footage"
    folder.mkdir()
    random = np.random.default_rng(2)
    Image.fromarray(random.integers(0, 256, (80, 96, 3), np.uint8)).save(folder / "photograph.png")
    with av.open(str(folder / "video.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(12):
            picture = random.integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return folder
