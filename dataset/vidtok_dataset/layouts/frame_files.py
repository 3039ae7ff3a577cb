"""A `.npy` file a latent frame, a folder a video."""

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from ..files import write_json
from ..sample import Sample
from .base import FileEntry, Layout, LayoutError, ShardInfo
from .output import entries, entry, json_line, npy, whole_folder


class FrameFiles(Layout):
    """`shard-00000/KEY/000000.npy` and so on; `shard-00000/KEY.json`, `KEY.NAME.npy`; `videos.json`.

    Loaders make windows of any frames of a folder, so that each segment has one of its own: `KEY.0000`, `KEY.0001`.
    """

    name = "npy"
    index_types = ("int32", "uint16", "int16", "uint32", "int64")

    def write_shard(self, folder: Path, number: int, samples: Iterable[Sample]) -> list[FileEntry]:
        target = folder / f"shard-{number:05d}"
        with whole_folder(target) as part:
            for sample in samples:
                self.check(sample.tokenizer, None, sample.fields)
                about = part / f"{sample.key}.json"
                if about.exists():
                    raise LayoutError(f"key: two samples of the shard are called {sample.key}")
                about.write_bytes(json_line(sample.describe_with_times()))
                for name, values in sample.fields.items():
                    (part / f"{sample.key}.{name}.npy").write_bytes(npy(values))
                tokens = self.convert(sample)
                for index, (start, count) in enumerate(sample.segments[:, :2].tolist()):
                    inner = part / (sample.key if len(sample.segments) == 1 else f"{sample.key}.{index:04d}")
                    inner.mkdir()
                    for frame in range(count):
                        (inner / f"{frame:06d}.npy").write_bytes(npy(tokens[start + frame]))
        return entries(folder, target)

    def finish(self, folder: Path, shards: Sequence[ShardInfo]) -> list[FileEntry]:
        paths = [PurePosixPath(each.path) for shard in shards for each in shard.files]
        videos = dict.fromkeys(path.parent.as_posix() for path in paths if len(path.parts) == 3)
        write_json(folder / "videos.json", list(videos))
        return [entry(folder, folder / "videos.json")]
