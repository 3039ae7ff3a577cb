"""LeRobot's data sets, version 3.0: https://github.com/huggingface/lerobot."""

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import whole, write_json
from ..sample import Sample, Tokenizer
from .base import FileEntry, Layout, LayoutError, ShardInfo, needed
from .output import entries, entry, join, json_line, same, whole_folder

CHUNK_FILES, MAX_AXES = 1000, 5
TOKENS, FRAMES = "observation.tokens", "observation.frames"
NUMBERS = {"frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"}
TASK = ""
CUT = "is cut out of a clip's tokens; the layout lerobot holds whole clips, and windows that are tokenized alone"
# Of a frame's duration, as times are rounded to nanoseconds, and those of some files to milliseconds.
TOLERANCE = 0.05


class LeRobot(Layout):
    """`meta/` and `data/chunk-000/file-000.parquet`: a row is a latent frame, an episode a segment."""

    name = "lerobot"
    has_one_grid = True
    has_one_rate = True
    index_types = ("int32", "uint16", "int16", "uint32", "int64")
    keeps_shards = False

    def check(
        self, tokenizer: Tokenizer, window: int | None, fields: Collection[str] = (), is_cut: bool = False
    ) -> None:
        super().check(tokenizer, window, fields, is_cut)
        needed("pyarrow.parquet", self.name)
        if is_cut:
            raise LayoutError(f"windows: a window {CUT}")
        if taken := sorted(set(fields) & {"tokens", "frames"}):
            raise LayoutError(
                f"{taken[0]}: the layout lerobot has something else under this name; rename the side data"
            )

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        arrow, parquet = needed("pyarrow", self.name), needed("pyarrow.parquet", self.name)
        target = folder / "pieces" / f"{number:05d}"
        made: dict[str, Any] = {}
        lengths: list[int] = []
        writer: Any = None
        with whole_folder(target) as part, open(part / "samples.jsonl", "wb") as lines:
            try:
                for sample in samples:
                    self.check(sample.tokenizer, None, sample.fields)
                    columns = self._columns(sample)
                    made = same(made, self._made(sample, columns), sample.key)
                    counts = sample.segments[:, 1]
                    columns["episode_index"] = np.repeat(np.arange(len(lengths), len(lengths) + len(counts)), counts)
                    columns["index"] = np.arange(len(sample.tokens)) + sum(lengths)
                    lengths += counts.tolist()
                    table = arrow.table({name: _column(arrow, values) for name, values in columns.items()})
                    writer = writer or parquet.ParquetWriter(part / "rows.parquet", table.schema)
                    writer.write_table(table)
                    lines.write(json_line(sample.describe_with_times()))
            finally:
                if writer is not None:
                    writer.close()
            (part / "piece.json").write_text(json.dumps({"made": made, "lengths": lengths}), "utf-8")
        return entries(folder, target)

    def _columns(self, sample: Sample) -> dict[str, NDArray[Any]]:
        factor, first, last = sample.tokenizer.time_factor, [], []
        for _, latents, start, frames in sample.segments.tolist():
            single = int(sample.tokenizer.is_causal)
            if single and frames > 1 + (latents - 1) * factor:
                raise LayoutError(f"windows: {sample.key} {CUT}")
            ends = np.minimum(np.arange(latents) * factor + (single or factor), frames) + start
            first += [start, *ends[:-1].tolist()]
            last += (ends - 1).tolist()
        starts, ends = np.array(first), np.array(last)
        # Of each latent frame: the video frames that it stands for; the last one again where there are fewer.
        shown = np.minimum(starts[:, None] + np.arange(factor), ends[:, None])
        inner = np.concatenate([np.arange(count) for count in sample.segments[:, 1]])
        columns = {TOKENS: self.convert(sample), FRAMES: ends - starts + 1}
        for name, values in sample.fields.items():
            columns[name if name == "action" else f"observation.{name}"] = values[shown]
            if values.ndim > MAX_AXES:
                raise LayoutError(f"{name}: the layout lerobot has arrays of {MAX_AXES} axes at most")
        return columns | {
            "timestamp": (inner / self._rate(sample)).astype(np.float32),
            "frame_index": inner,
            "task_index": np.zeros(len(inner), np.int64),
        }

    def _rate(self, sample: Sample) -> float:
        """Latent frames a second."""
        steps = np.append(np.diff(sample.pts), sample.durations[-1:])
        step = float(np.median(steps))
        if step <= 0 or (sample.pts < 0).any() or np.abs(np.diff(sample.pts) - step).max(initial=0) > TOLERANCE * step:
            raise LayoutError(
                f"fps: the frames of {sample.key} come at no fixed rate, which the layout lerobot needs;"
                " --fps gives them one"
            )
        # The median of rounded times is a little off.
        return round(1e9 / step, 3) / sample.tokenizer.time_factor

    def _made(self, sample: Sample, columns: dict[str, NDArray[Any]]) -> dict[str, Any]:
        features = {name: _feature(values) for name, values in columns.items() if name not in ("timestamp", *NUMBERS)}
        tokenizer = sample.tokenizer
        return {
            "fps": self._rate(sample),
            "features": features,
            "time_factor": tokenizer.time_factor,
            "codebook_size": tokenizer.codebook,
            "tokenizer": tokenizer.digest,
        }

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        arrow, parquet = needed("pyarrow", self.name), needed("pyarrow.parquet", self.name)
        pieces = [folder / "pieces" / f"{shard.number:05d}" for shard in shards]
        made: dict[str, Any] = {}
        episodes: list[dict[str, Any]] = []
        paths: list[Path] = []
        frames = 0
        for piece in pieces:
            about = json.loads((piece / "piece.json").read_text("utf-8"))
            if not about["lengths"]:
                continue
            made = same(made, about["made"], f"shard {piece.name}")
            chunk, file = divmod(len(paths), CHUNK_FILES)
            paths.append(folder / "data" / f"chunk-{chunk:03d}" / f"file-{file:03d}.parquet")
            _number(parquet, piece / "rows.parquet", paths[-1], {"episode_index": len(episodes), "index": frames})
            for length in about["lengths"]:
                place = {"data/chunk_index": chunk, "data/file_index": file}
                place |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
                reach = {"dataset_from_index": frames, "dataset_to_index": frames + length, "length": length}
                episodes.append({"episode_index": len(episodes), "tasks": [TASK], **reach, **place})
                frames += length
        if not made:
            raise LayoutError("total_frames: the layout lerobot cannot hold a data set of no samples")
        paths += _write_meta(arrow, parquet, folder, made, episodes, frames)
        samples = folder / "samples.jsonl"
        with whole(samples) as part, open(part, "wb") as target:
            join((piece / "samples.jsonl" for piece in pieces), target)
        return [entry(folder, path) for path in [*paths, samples]]


def _feature(values: NDArray[Any]) -> dict[str, Any]:
    return {"dtype": values.dtype.name, "shape": list(values.shape[1:]) or [1], "names": None}


def _column(arrow: Any, values: NDArray[Any]) -> Any:
    column = arrow.array(values.reshape(-1))
    if values.shape[1:] == (1,):  # LeRobot has numbers for arrays of one.
        return column
    for length in reversed(values.shape[1:]):
        offsets = arrow.array(np.arange(0, len(column) + 1, length, dtype=np.int32))
        column = arrow.ListArray.from_arrays(offsets, column)
    return column


def _number(parquet: Any, source: Path, target: Path, offsets: dict[str, int]) -> None:
    """Copies rows and counts on from those of the shards before."""
    import pyarrow.compute

    file = parquet.ParquetFile(source)
    with whole(target) as part, parquet.ParquetWriter(part, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            for name, offset in offsets.items():
                column = pyarrow.compute.add(table[name], offset)
                table = table.set_column(table.schema.get_field_index(name), name, column)
            writer.write_table(table)


def _write_meta(
    arrow: Any, parquet: Any, folder: Path, made: dict[str, Any], episodes: list[dict[str, Any]], frames: int
) -> list[Path]:
    meta = folder / "meta"
    info, tasks = meta / "info.json", meta / "tasks.parquet"
    listed = meta / "episodes" / "chunk-000" / "file-000.parquet"
    numbers = {name: {"dtype": kind, "shape": [1], "names": None} for name, kind in NUMBERS.items()}
    features = made.pop("features") | {"timestamp": {"dtype": "float32", "shape": [1], "names": None}} | numbers
    value = {
        "codebase_version": "v3.0",
        "robot_type": None,
        "total_episodes": len(episodes),
        "total_frames": frames,
        "total_tasks": 1,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "splits": {"train": f"0:{len(episodes)}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": None,
        "features": features,
    }
    write_json(info, made | value)
    with whole(listed) as part:
        parquet.write_table(arrow.Table.from_pylist(episodes), part)
    # The loader takes a task's name from pandas' index.
    kinds = {"task": ("unicode", "object"), "task_index": ("int64", "int64")}
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for name, (kind, numpy) in kinds.items()
    ]
    pandas = {"index_columns": ["task"], "columns": columns, "column_indexes": []}
    table = arrow.table({"task_index": arrow.array([0], arrow.int64()), "task": [TASK]})
    with whole(tasks) as part:
        parquet.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), part)
    return [info, tasks, listed]
