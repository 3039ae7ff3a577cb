"""The `.vidtok` files themselves."""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from vidtok_stream import Stream, write

from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, LayoutError
from .output import entries, json_line, npy, whole_folder

CUT = (
    "cut out of a clip's tokens decodes only with those before it; the layout vidtok holds whole clips, and windows"
    " that are tokenized alone"
)


class Vidtok(Layout):
    """`shard-00000/KEY.vidtok`, `KEY.json`, and `KEY.NAME.npy` for side data: what `vidtokdec` plays."""

    name = "vidtok"

    def type_of(self, tokenizer: Tokenizer) -> str:
        # The files' own type stays.
        return "uint32" if tokenizer.codebook else "float32"

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        if is_cut:
            raise LayoutError(f"windows: a window that is {CUT}")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        target = folder / f"shard-{number:05d}"
        with whole_folder(target) as part:
            for sample in samples:
                if sample.preceding:
                    raise LayoutError(f"windows: {sample.key}, which is {CUT}")
                path = part / f"{sample.key}.vidtok"
                if path.exists():
                    raise LayoutError(f"key: two samples of the shard are called {sample.key}")
                if sample.file is None:
                    write(path, _stream(sample))
                else:
                    _link_or_copy(sample.file, path)
                path.with_suffix(".json").write_bytes(json_line(sample.describe()))
                for name, values in sample.fields.items():
                    path.with_suffix(f".{name}.npy").write_bytes(npy(values))
        return entries(folder, target)


def _stream(sample: Sample) -> Stream:
    """A stream of the sample's own."""
    assert sample.format is not None
    frames = sample.format.frames_of(1, segment_start=False)
    real = np.full(len(sample.tokens), frames, np.int64)
    for first, latent_frames, _, video_frames in sample.segments.tolist():
        real[first] = sample.format.frames_of(1, segment_start=True)
        # What was filled up is not real.
        real[first + latent_frames - 1] -= int(real[first : first + latent_frames].sum()) - video_frames
    return Stream.of(
        sample.format,
        sample.tokens.astype(sample.format.token_type),
        segment_starts=sample.segments[:, 0].tolist(),
        real_frames=real,
        pts=sample.pts,
        durations=sample.durations,
        stream_id=hashlib.sha256(f"{sample.source_sha256} {sample.key}".encode()).hexdigest()[:32],
    )


def _link_or_copy(source: Path, target: Path) -> None:
    # Both are on one file system as a rule, and neither is changed later.
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
