"""Samples to write: small ones, with numbers that say where they belong."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "dataset")]

from vidtok_dataset.layouts import LAYOUTS, Layout, ShardInfo  # noqa: E402
from vidtok_dataset.sample import Sample, Tokenizer  # noqa: E402

DOCUMENT = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
FSQ = Tokenizer(
    name="toy",
    digest="0123456789abcdef" * 4,
    codebook=4096,
    channels=None,
    levels=(8, 8, 8, 8),
    time_factor=4,
    space_factor=8,
    is_causal=True,
    pixels=None,
    width=32,
    height=32,
)
KL = replace(FSQ, codebook=None, levels=None, channels=3)
CUBE = replace(FSQ, time_factor=8, width=256, height=256, codebook=64000, levels=(8, 8, 8, 5, 5, 5))
FRAME = 40_000_000  # nanoseconds


def sample(
    key: str,
    segments: tuple[tuple[int, int], ...] = ((3, 9),),
    tokenizer: Tokenizer = FSQ,
    first_frame: int = 0,
    **more: Any,
) -> Sample:
    """A sample of segments of so many latent and video frames; its tokens depend on its key."""
    counts = np.array(segments, np.int64)
    starts = np.cumsum(counts, axis=0) - counts
    random = np.random.default_rng(list(key.encode()))
    latent_frames, frames = counts.sum(axis=0).tolist()
    shape = (latent_frames, *tokenizer.latent_shape)
    tokens = (
        random.integers(0, tokenizer.codebook, shape, np.uint32)
        if tokenizer.codebook
        else random.standard_normal(shape, np.float32)
    )
    given = {
        "pts": (np.arange(frames) + first_frame) * FRAME,
        "durations": np.full(frames, FRAME),
        "source": "videos/a clip.mp4",
        "source_sha256": "ab" * 32,
    }
    return Sample(
        key=key,
        tokens=tokens,
        segments=np.stack([starts[:, 0], counts[:, 0], starts[:, 1], counts[:, 1]], axis=1),
        first_frame=first_frame,
        tokenizer=tokenizer,
        **(given | more),
    )


def with_fields(given: Sample, **fields: Any) -> Sample:
    """The sample with side data."""
    return replace(given, fields={name: np.asarray(values) for name, values in fields.items()})


def layout(name: str, **options: Any) -> Layout:
    """A layout by its name."""
    return LAYOUTS[name](**options)


def write(folder: Path, layout: Layout, *shards: list[Sample]) -> list[Path]:
    """Writes a data set as a job does; returns its files."""
    done = [
        ShardInfo(number, tuple(layout.write_shard(folder, number, iter(samples))))
        for number, samples in enumerate(shards)
    ]
    entries = [*layout.finish(folder, done)]
    if layout.keeps_shards:
        entries += [entry for shard in done for entry in shard.files]
    return [folder / entry.path for entry in entries]


def documented(name: str, folder: Path) -> Iterator[tuple[dict[str, Any], NDArray[Any]]]:
    """What the reader of docs/layouts.md gives."""
    names: dict[str, Any] = {}
    for block in ("imports", f"reader {name}"):
        code = re.search(rf"^```python {block}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
        assert code, f"docs/layouts.md has no block {block!r}"
        exec(compile(code[1], f"docs/layouts.md, {block}", "exec"), names)
    return names["read"](folder)
