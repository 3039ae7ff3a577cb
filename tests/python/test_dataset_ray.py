"""On Ray, a data set is the same to the byte. `ray_kill.py` kills workers; this is its smoke test."""

from pathlib import Path

import ray_kill


def test_workers_of_ray_make_the_same_bytes(tmp_path: Path) -> None:
    videos = ray_kill.make_videos(tmp_path / "videos", 4)
    ray_kill.compare(tmp_path, videos, workers=2, kills=0)
