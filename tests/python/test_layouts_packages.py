"""Layouts of data sets, read by the packages that their loaders are made of."""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest
import webdataset

from layout_samples import CUBE, FSQ, KL, documented, layout, sample, with_fields, write  # isort: skip

from vidtok_dataset.layouts import LAYOUTS, LayoutError
from vidtok_dataset.sample import Sample

TWO = ((2, 5), (1, 1))


def posed(given: Sample) -> Sample:
    """The sample with a pose for each video frame."""
    return with_fields(given, pose=np.arange(given.frames * 2, dtype=np.float32).reshape(-1, 2) + given.first_frame)


def test_webdataset_reads_its_shards(tmp_path: Path) -> None:
    given = [posed(sample("a")), posed(sample("b-2", TWO)), posed(sample("c", first_frame=3))]
    write(tmp_path, layout("webdataset", dtype="uint16"), given[:2], given[2:])
    urls = str(tmp_path / "shard-{000000..000001}.tar")
    read = list(webdataset.WebDataset(urls, shardshuffle=False).decode())
    assert [each["__key__"] for each in read] == ["a", "b-2", "c"]
    for each, wanted in zip(read, given, strict=True):
        assert each["tokens.npy"].dtype == np.uint16
        np.testing.assert_array_equal(each["tokens.npy"], wanted.tokens)
        np.testing.assert_array_equal(each["pts.npy"], wanted.pts)
        np.testing.assert_array_equal(each["durations.npy"], wanted.durations)
        np.testing.assert_array_equal(each["pose.npy"], wanted.fields["pose"])
        assert each["json"] == wanted.describe()


def test_h5py_reads_its_shards(tmp_path: Path) -> None:
    first, second = posed(sample("a")), posed(sample("b", TWO, first_frame=9))
    [path] = write(tmp_path, layout("hdf5"), [first, second], [])
    with h5py.File(path) as file:
        assert dict(file.attrs.items()).keys() >= {"codebook_size", "latent_dim", "num_bins"}
        assert (file.attrs["codebook_size"], file.attrs["latent_dim"], file.attrs["num_bins"]) == (4096, 4, 8)
        assert file["tokens"].shape == (6, 16) and file["tokens"].dtype == np.int32
        assert file["segment_ids"][:].tolist() == [0, 0, 0, 1, 1, 2]
        assert file["latent_ends"][:].tolist() == [3, 6] and file["frame_ends"][:].tolist() == [9, 15]
        np.testing.assert_array_equal(file["pts"], np.concatenate([first.pts, second.pts]))
        np.testing.assert_array_equal(file["fields/pose"][9:], second.fields["pose"])
        assert json.loads(file["samples"].asstr()[1]) == second.describe()
    with pytest.raises(LayoutError, match="^grid: c has "):
        write(tmp_path, layout("hdf5"), [first, posed(sample("c", tokenizer=replace(FSQ, width=40)))])
    with pytest.raises(LayoutError, match="^fields: c has "):
        write(tmp_path, layout("hdf5"), [first, sample("c")])


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_parquet_has_latents_as_fastvideo_names_them(dtype: str, tmp_path: Path) -> None:
    given = [posed(sample("a", tokenizer=KL)), posed(sample("b", TWO, KL, 4))]
    [path] = write(tmp_path, layout("parquet", dtype=dtype), given, [])
    rows = pyarrow.parquet.read_table(path).to_pylist()
    for row, wanted in zip(rows, given, strict=True):
        assert row["vae_latent_dtype"] == dtype and row["vae_latent_shape"] == [3, 3, 4, 4]
        values = np.frombuffer(row["vae_latent_bytes"], dtype).reshape(row["vae_latent_shape"])
        np.testing.assert_array_equal(values, wanted.tokens.transpose(3, 0, 1, 2).astype(dtype))
        pose = np.frombuffer(row["pose_bytes"], row["pose_dtype"]).reshape(row["pose_shape"])
        np.testing.assert_array_equal(pose, wanted.fields["pose"])
        assert row["pts"] == wanted.pts.tolist() and row["segments"] == wanted.segments.tolist()
        assert (row["num_frames"], row["fps"], row["media_type"]) == (wanted.frames, 25.0, "video")
        assert json.loads(row["tokenizer"])["channels"] == 3
    assert [about["key"] for about, _ in documented("parquet", tmp_path)] == ["a", "b"]


def test_parquet_takes_bfloat16_and_unknown_times(tmp_path: Path) -> None:
    given = sample("a", tokenizer=KL, durations=np.array([-1] * 9))
    [path] = write(tmp_path, layout("parquet", dtype="bfloat16"), [given])
    [row] = pyarrow.parquet.read_table(path).to_pylist()
    assert (row["duration_sec"], row["fps"], row["vae_latent_dtype"]) == (None, None, "bfloat16")
    values = (np.frombuffer(row["vae_latent_bytes"], "<u2").astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_allclose(values.reshape(3, 3, 4, 4), given.tokens.transpose(3, 0, 1, 2), rtol=2.0**-8)


def test_a_row_group_is_a_megabyte_of_tokens(tmp_path: Path) -> None:
    # 8 × 128 × 128 tokens of 4 bytes are half a megabyte.
    given = [sample(f"s{i}", ((8, 29),), replace(FSQ, width=1024, height=1024)) for i in range(5)]
    [path] = write(tmp_path, layout("parquet"), given)
    about = pyarrow.parquet.read_metadata(path)
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [2, 2, 1]


def test_parquet_refuses_side_data_that_only_some_samples_have(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="^fields: b has others than a"):
        write(tmp_path, layout("parquet"), [posed(sample("a")), sample("b")])
    assert not list(tmp_path.iterdir())
    with pytest.raises(LayoutError, match="^tokens: "):
        layout("parquet").check(FSQ, None, ["tokens"])


def test_a_folder_of_frames_is_one_segment(tmp_path: Path) -> None:
    given = sample("b", TWO)
    write(tmp_path, layout("npy"), [posed(sample("a"))], [given])
    assert json.loads((tmp_path / "videos.json").read_text()) == [
        "shard-00000/a",
        "shard-00001/b.0000",
        "shard-00001/b.0001",
    ]
    folder = tmp_path / "shard-00001" / "b.0001"
    [frame] = folder.iterdir()
    np.testing.assert_array_equal(np.load(frame), given.tokens[2])


# Two processes, as memory that was never written differs from one to the next; and more than a second apart, as some
# formats have times in seconds.
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_layouts_packages import of_each_layout
of_each_layout(Path(sys.argv[2]))
"""


def of_each_layout(folder: Path) -> None:
    """Writes a small data set in each layout, but that of the files themselves."""
    for name in LAYOUTS:
        if name == "1x-v2":
            given = [sample("a", ((3, 17),), CUBE)]
        elif name == "vidtok":
            continue
        else:
            given = [sample("a"), sample("b", TWO)]
        write(folder / name, layout(name), given if "1x" in name or "flat" in name else [posed(each) for each in given])


def test_two_processes_give_the_same_bytes(tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file()
        }

    of_each_layout(tmp_path / "one")
    time.sleep(1.1)
    here = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", PROGRAM, here, str(tmp_path / "two")], check=True, timeout=60)
    one = digests(tmp_path / "one")
    assert len(one) > 20
    assert digests(tmp_path / "two") == one


def test_mds_refuses_what_its_columns_cannot_be(tmp_path: Path) -> None:
    mds = layout("mds")
    with pytest.raises(LayoutError, match="^pts: "):
        mds.check(FSQ, None, ["pts"])
    with pytest.raises(LayoutError, match="^grasp: .* bool"):
        write(tmp_path, mds, [with_fields(sample("a"), grasp=np.zeros(9, bool))])
    with pytest.raises(LayoutError, match="^column_.*: b has "):
        write(tmp_path, mds, [posed(sample("a")), sample("b")])
    assert not list(tmp_path.iterdir())


def test_an_index_of_mds_lists_the_shards_that_have_samples(tmp_path: Path) -> None:
    write(tmp_path, layout("mds"), [sample("a"), sample("b")], [], [posed(sample("c"))])
    index = json.loads((tmp_path / "index.json").read_text())
    assert [(each["raw_data"]["basename"], each["samples"]) for each in index["shards"]] == [
        ("shard.00000.mds", 2),
        ("shard.00002.mds", 1),
    ]
    for each in index["shards"]:
        assert each["raw_data"]["bytes"] == (tmp_path / each["raw_data"]["basename"]).stat().st_size
    assert index["shards"][1]["column_names"] == ["durations", "key", "pose", "pts", "sample", "tokens"]


def test_a_row_of_lerobot_has_the_side_data_of_its_video_frames(tmp_path: Path) -> None:
    def acting(given: Sample) -> Sample:
        return with_fields(given, action=np.arange(given.frames), pose=np.arange(given.frames * 2.0).reshape(-1, 2))

    # Segments of 1 + 4 + 3 video frames, and of 1; then, in another shard, of 1 + 4.
    write(tmp_path, layout("lerobot"), [acting(sample("a", ((3, 8), (1, 1))))], [], [acting(sample("b", ((2, 5),)))])
    info = json.loads((tmp_path / "meta" / "info.json").read_text())
    assert (info["total_episodes"], info["total_frames"], info["splits"]) == (3, 6, {"train": "0:3"})
    assert info["fps"] == 25 / 4
    assert info["features"]["observation.tokens"] == {"dtype": "int32", "shape": [4, 4], "names": None}
    assert info["features"]["observation.pose"] == {"dtype": "float64", "shape": [4, 2], "names": None}
    rows = pyarrow.parquet.read_table(tmp_path / "data" / "chunk-000").to_pylist()
    assert [row["action"] for row in rows[:4]] == [[0] * 4, [1, 2, 3, 4], [5, 6, 7, 7], [8] * 4]
    assert [row["observation.frames"] for row in rows] == [1, 4, 3, 1, 1, 4]
    assert [row["episode_index"] for row in rows] == [0, 0, 0, 1, 2, 2]
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["frame_index"] for row in rows] == [0, 1, 2, 0, 0, 1]
    np.testing.assert_allclose([row["timestamp"] for row in rows[:3]], [0, 0.16, 0.32], rtol=1e-6)
    assert rows[5]["observation.pose"] == [[2, 3], [4, 5], [6, 7], [8, 9]]
    episodes = pyarrow.parquet.read_table(tmp_path / "meta" / "episodes" / "chunk-000" / "file-000.parquet").to_pylist()
    assert [(each["dataset_from_index"], each["dataset_to_index"]) for each in episodes] == [(0, 3), (3, 4), (4, 6)]
    assert [each["data/file_index"] for each in episodes] == [0, 0, 1]


def test_lerobot_refuses_what_it_cannot_say(tmp_path: Path) -> None:
    kind = layout("lerobot")
    with pytest.raises(LayoutError, match="^fps: the frames of a "):
        kind.write_shard(tmp_path, 0, [sample("a", pts=np.array([0, 1, 2, 3, 4, 5, 6, 7, 20]) * 40_000_000)])
    slow = sample("b", durations=np.full(9, 80_000_000), pts=np.arange(9) * 80_000_000)
    with pytest.raises(LayoutError, match="^fps: b has 3.125, samples before it have 6.25"):
        kind.write_shard(tmp_path, 0, [sample("a"), slow])
    with pytest.raises(LayoutError, match="^windows: a is cut out"):
        kind.write_shard(tmp_path, 0, [sample("a", ((2, 8),))])
    with pytest.raises(LayoutError, match="^windows: "):
        kind.check(FSQ, 17, is_cut=True)
    with pytest.raises(LayoutError, match="^tokens: "):
        kind.check(FSQ, None, ["tokens"])
    with pytest.raises(LayoutError, match="^total_frames: "):
        write(tmp_path / "none", kind, [])
