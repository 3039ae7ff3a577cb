"""The layouts of 1X's world model challenge: https://github.com/1x-technologies/1xgpt."""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import whole, write_json
from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, LayoutError, ShardInfo
from .output import entries, entry, join, json_line, same, whole_folder

V2_FRAMES, V2_LATENT_FRAMES, V2_GRID, V2_STATES = 17, 3, (32, 32), 25
WINDOW_SEGMENT = [0, V2_LATENT_FRAMES, 0, V2_FRAMES]


class OneXV1(Layout):
    """`video.bin`, `segment_ids.bin`, `metadata.json`: all latent frames one behind the other."""

    name = "1x-v1"
    has_one_grid = True
    index_types = ("uint32", "int32", "uint16", "int64")
    keeps_shards = False

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        rows, columns = tokenizer.grid
        if rows != columns:
            raise LayoutError(
                f"s: the layout 1x-v1 holds square grids only, not {columns}×{rows} cells"
                f" ({tokenizer.width}×{tokenizer.height} pixels); --size gives all videos one size"
            )
        if fields:
            raise LayoutError(f"{sorted(fields)[0]}: the layout 1x-v1 has no place for side data of each video frame")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        images = segments = 0
        made: dict[str, Any] = {}
        target = folder / "pieces" / f"{number:05d}"
        with (
            whole_folder(target) as part,
            open(part / "video.bin", "wb") as video,
            open(part / "segment_ids.bin", "wb") as ids,
            open(part / "samples.jsonl", "wb") as lines,
        ):
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                made = same(made, self._made(sample), sample.key)
                video.write(self.convert(sample).tobytes())
                counts = sample.segments[:, 1]
                ids.write(np.repeat(np.arange(segments, segments + len(counts)), counts).astype("<i4").tobytes())
                lines.write(json_line(sample.describe_with_times()))
                images, segments = images + len(sample.tokens), segments + len(counts)
            made |= {"num_images": images, "segments": segments}
            (part / "piece.json").write_text(json.dumps(made), "utf-8")
        return entries(folder, target)

    def _made(self, sample: Sample) -> dict[str, Any]:
        tokenizer = sample.tokenizer
        return {
            "s": tokenizer.grid[0],
            "token_dtype": self.type_of(tokenizer),
            "vocab_size": tokenizer.codebook,
            "time_factor": tokenizer.time_factor,
            "tokenizer": tokenizer.digest,
        }

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        pieces = [folder / "pieces" / f"{shard.number:05d}" for shard in shards]
        made: dict[str, Any] = {}
        images = segments = 0
        with whole(folder / "segment_ids.bin") as part, open(part, "wb") as ids:
            for piece in pieces:
                here = json.loads((piece / "piece.json").read_text("utf-8"))
                own = np.fromfile(piece / "segment_ids.bin", "<i4") + np.int32(segments)
                ids.write(own.astype("<i4").tobytes())
                images, segments = images + here.pop("num_images"), segments + here.pop("segments")
                if here:
                    made = same(made, here, piece.name)
        if not images:
            raise LayoutError("num_images: the layout 1x-v1 cannot hold a data set of no samples")
        for name in ("video.bin", "samples.jsonl"):
            with whole(folder / name) as part, open(part, "wb") as target:
                join((piece / name for piece in pieces), target)
        write_json(folder / "metadata.json", made | {"num_images": images})
        return [
            entry(folder, folder / name) for name in ("metadata.json", "samples.jsonl", "segment_ids.bin", "video.bin")
        ]


class OneXV2(Layout):
    """Shards of windows of 17 frames, each tokenized alone to 3 latent frames of 32×32 cells.

    `split="val"` has all files in one folder, as that project's loader reads a validation set.
    """

    name = "1x-v2"
    has_one_grid = True
    index_types = ("int32",)
    needs_whole_windows = True

    def __init__(self, dtype: str | None = None, split: str = "train") -> None:
        super().__init__(dtype)
        if split not in ("train", "val"):
            raise LayoutError(f"split: {split!r} is neither train nor val")
        self.split = split

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        if (tokenizer.time_factor, tokenizer.space_factor, tokenizer.is_causal) != (8, 8, True):
            raise LayoutError(
                "time_factor: the layout 1x-v2 is that of a causal 8×8×8 tokenizer;"
                f" {tokenizer.name} is {tokenizer.time_factor}×{tokenizer.space_factor}×{tokenizer.space_factor}"
                f"{'' if tokenizer.is_causal else ' and not causal'}"
            )
        if tokenizer.grid != V2_GRID:
            raise LayoutError(
                "grid: the layout 1x-v2 has latent frames of 32×32 cells, so videos of 256×256 pixels (--size 256x256);"
                f" these are {tokenizer.width}×{tokenizer.height}"
            )
        if window is not None and window != V2_FRAMES:
            raise LayoutError(f"window: the layout 1x-v2 has windows of 17 frames, not {window}")
        if is_cut:
            raise LayoutError("windows: the layout 1x-v2 has windows that are tokenized alone (--windows alone)")
        if other := sorted(set(fields) - {"states"}):
            raise LayoutError(f"{other[0]}: the layout 1x-v2 has a place for the side data `states` only")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        places = self._places(folder, number)
        frames, segment = 0, -1
        before: Sample | None = None
        with (
            whole(places["video"]) as video_part,
            whole(places["segment"]) as ids_part,
            whole(places["samples"]) as lines_part,
            whole(places["states"]) as states_part,
            open(video_part, "wb") as video,
            open(ids_part, "wb") as ids,
            open(lines_part, "wb") as lines,
            open(states_part, "wb") as states,
        ):
            for sample in samples:
                self._check_windows(sample)
                if before is not None and set(before.fields) != set(sample.fields):
                    raise LayoutError(f"states: {sample.key} and {before.key} do not both have them")
                segment += before is None or not _continues(before, sample)
                video.write(self.convert(sample).tobytes())
                ids.write(np.full(sample.frames, segment, "<i4").tobytes())
                lines.write(json_line(sample.describe_with_times()))
                for values in sample.fields.values():
                    states.write(np.ascontiguousarray(values, "<f4").tobytes())
                frames, before = frames + sample.frames, sample
        if before is None:
            raise LayoutError(f"shard_num_frames: shard {number} has no samples, which loaders of 1x-v2 cannot read")
        if not before.fields:
            places.pop("states").unlink()
        write_json(places["metadata"], {"shard_ind": number, "shard_num_frames": frames})
        return [entry(folder, path) for path in sorted(places.values())]

    def _check_windows(self, sample: Sample) -> None:
        self.check(sample.tokenizer, None, sample.fields)
        if (sample.segments[:, [1, 3]] != (V2_LATENT_FRAMES, V2_FRAMES)).any():
            raise LayoutError(
                f"window: {sample.key} is not of windows of 17 frames, each tokenized alone"
                " (--window 17 --windows alone)"
            )
        for values in sample.fields.values():
            if values.shape[1:] != (V2_STATES,):
                raise LayoutError(
                    f"states: the layout 1x-v2 has {V2_STATES} numbers a frame;"
                    f" {sample.key} has {list(values.shape[1:])}"
                )

    def _places(self, folder: Path, number: int) -> dict[str, Path]:
        inner = {"metadata": "metadata", "video": "videos", "segment": "segment_indices", "states": "robot_states"}
        names = {"metadata": "metadata", "video": "video", "segment": "segment_idx", "states": "states"}
        suffixes = {"metadata": "json"}
        places = {
            key: folder / (inner[key] if self.split == "train" else "") / f"{name}_{number}.{suffixes.get(key, 'bin')}"
            for key, name in names.items()
        }
        return places | {"samples": folder / "samples" / f"samples_{number}.jsonl"}

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        numbers = [shard.number for shard in shards]
        if not numbers or numbers != list(range(len(numbers))):
            raise LayoutError("num_shards: the layout 1x-v2 has shards 0, 1, 2 and so on, and at least one")
        frames = [
            json.loads(self._places(folder, number)["metadata"].read_text("utf-8"))["shard_num_frames"]
            for number in numbers
        ]
        write_json(folder / "metadata.json", {"num_shards": len(numbers), "num_images": sum(frames)})
        return [entry(folder, folder / "metadata.json")]


def _continues(before: Sample, sample: Sample) -> bool:
    """Whether the sample's first frame comes right behind the last one of the sample before."""
    same = (before.source, before.source_sha256) == (sample.source, sample.source_sha256)
    known = before.pts[-1] >= 0 and before.durations[-1] >= 0
    return bool(same and known and before.pts[-1] + before.durations[-1] == sample.pts[0])
