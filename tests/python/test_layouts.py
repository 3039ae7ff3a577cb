"""Layouts of data sets: the readers of docs/layouts.md read what is written, and loaders' own conditions hold."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
import tracemalloc
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from layout_samples import CUBE, FRAME, FSQ, KL, documented, layout, sample, with_fields, write  # isort: skip

import vidtok_stream
from vidtok_dataset.errors import ClipError
from vidtok_dataset.layouts import LAYOUTS, LayoutError, verify
from vidtok_dataset.sample import Sample, Tokenizer
from vidtok_stream import Stream, TokenFormat

WINDOW = ((3, 17),)
INDEXED = [name for name, kind in LAYOUTS.items() if kind.index_types]


def shards(name: str, tokenizer: Tokenizer | None = None) -> list[list[Sample]]:
    """Two shards of three samples that the layout holds; the second sample has two segments."""
    if name == "1x-v2":
        return [
            [sample("a", WINDOW, CUBE), sample("b-2", WINDOW * 2, CUBE, first_frame=17)],
            [sample("c", WINDOW, CUBE)],
        ]
    tokenizer = tokenizer or FSQ
    return [
        [sample("a", tokenizer=tokenizer), sample("b-2", ((2, 5), (1, 1)), tokenizer)],
        [sample("c", ((1, 1),), tokenizer)],
    ]


@pytest.mark.parametrize("name", INDEXED)
def test_the_documented_reader_reads_what_was_written(name: str, tmp_path: Path) -> None:
    written = shards(name)
    write(tmp_path, layout(name), *written)
    read = {about["key"]: (about, tokens) for about, tokens in documented(name, tmp_path)}
    assert list(read) == ["a", "b-2", "c"]
    for each in (each for shard in written for each in shard):
        about, tokens = read[each.key]
        assert tokens.dtype == layout(name).index_types[0]
        np.testing.assert_array_equal(tokens, each.tokens)
        assert about["source"] == "videos/a clip.mp4" and about["source_sha256"] == "ab" * 32
        assert about["tokenizer"]["digest"] == each.tokenizer.digest
        assert about["frames"] == each.frames and about["segments"] == each.segments.tolist()
        assert about.get("pts", each.pts.tolist()) == each.pts.tolist()


@pytest.mark.parametrize("name", INDEXED)
def test_two_runs_give_the_same_bytes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digests(folder: Path) -> dict[str, str]:
        files = write(folder, layout(name), *shards(name))
        assert len(set(files)) == len(files)
        return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    first = digests(tmp_path / "one")
    # At another time, and over what the first run has left.
    monkeypatch.setattr("time.time", lambda: 2e9)
    assert digests(tmp_path / "two") == first
    assert digests(tmp_path / "one") == first
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", INDEXED)
def test_a_shard_that_fails_leaves_nothing(name: str, tmp_path: Path) -> None:
    def failing():
        yield shards(name)[0][0]
        raise ClipError("gone")

    with pytest.raises(ClipError, match="gone"):
        layout(name).write_shard(tmp_path, 0, failing())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", INDEXED)
def test_a_codebook_above_the_type_is_refused(name: str) -> None:
    kind = layout(name)
    for dtype in kind.index_types:
        largest = int(np.iinfo(dtype).max) - (1 if name == "commavq-flat" else 0)
        if name == "1x-v2" or largest > 1 << 32:
            continue
        layout(name, dtype=dtype).check(replace(FSQ, codebook=largest + (name != "commavq-flat")), None)
        with pytest.raises(LayoutError, match=f"^codebook: .*{dtype}"):
            layout(name, dtype=dtype).check(replace(FSQ, codebook=largest + 2), None)
    with pytest.raises(LayoutError, match="^dtype: .*float64"):
        layout(name, dtype="float64")


def test_latents_are_held_only_where_a_layout_has_floats() -> None:
    for name, kind in LAYOUTS.items():
        if kind.latent_types or name == "vidtok":
            layout(name).check(KL, None)
        else:
            with pytest.raises(LayoutError, match="^codebook: .* does not hold KL latents"):
                layout(name).check(KL, None)


def test_1x_v1_is_what_its_loader_maps(tmp_path: Path) -> None:
    write(tmp_path, layout("1x-v1"), *shards("1x-v1"))
    about = json.loads((tmp_path / "metadata.json").read_text())
    # 3 latent frames in one segment, 2 + 1 in two, 1 in one.
    assert about["num_images"] == 7 and about["s"] == 4 and about["token_dtype"] == "uint32"
    assert (tmp_path / "video.bin").stat().st_size == 7 * 4 * 4 * 4
    ids = np.fromfile(tmp_path / "segment_ids.bin", "<i4")
    assert ids.tolist() == [0, 0, 0, 1, 1, 2, 3]


def test_1x_v1_refuses_what_is_not_square_and_side_data(tmp_path: Path) -> None:
    v1 = layout("1x-v1")
    with pytest.raises(LayoutError, match="^s: .*5×4"):
        v1.check(replace(FSQ, width=33), None)
    with pytest.raises(LayoutError, match="^action: "):
        v1.check(FSQ, None, ["action"])
    large = sample("b", tokenizer=replace(FSQ, width=64, height=64))
    with pytest.raises(LayoutError, match="^s: b has 8, samples before it have 4"):
        v1.write_shard(tmp_path, 0, [sample("a"), large])
    # In two shards, it is found when they are joined.
    with pytest.raises(LayoutError, match="^s: "):
        write(tmp_path, v1, [sample("a")], [large])
    with pytest.raises(LayoutError, match="^num_images: "):
        write(tmp_path / "none", v1, [], [])


def test_1x_shards_may_be_empty_where_they_are_joined(tmp_path: Path) -> None:
    write(tmp_path, layout("1x-v1"), [], [sample("a")], [])
    assert [about["key"] for about, _ in documented("1x-v1", tmp_path)] == ["a"]


@pytest.mark.parametrize(("split", "inner"), [("train", "robot_states/"), ("val", "")])
def test_1x_v2_is_what_its_loader_maps(split: str, inner: str, tmp_path: Path) -> None:
    states = np.arange(17 * 25, dtype=np.float64).reshape(17, 25)
    follows = [sample("a", WINDOW, CUBE), sample("b", WINDOW, CUBE, first_frame=17), sample("c", WINDOW, CUBE)]
    write(tmp_path, layout("1x-v2", split=split), [with_fields(each, states=states) for each in follows])
    video, ids = ("videos/", "segment_indices/") if split == "train" else ("", "")
    about = json.loads((tmp_path / ("metadata/" * (split == "train") + "metadata_0.json")).read_text())
    assert about["shard_num_frames"] == 51
    assert (tmp_path / f"{video}video_0.bin").stat().st_size == 3 * 3 * 32 * 32 * 4
    # The second window goes on where the first ends; the third begins anew.
    assert np.fromfile(tmp_path / f"{ids}segment_idx_0.bin", "<i4").tolist() == [0] * 34 + [1] * 17
    written = np.fromfile(tmp_path / f"{inner}states_0.bin", "<f4").reshape(51, 25)
    np.testing.assert_array_equal(written[17:34], states)


def test_1x_v2_refuses_other_tokenizers_windows_and_side_data(tmp_path: Path) -> None:
    v2 = layout("1x-v2")
    v2.check(CUBE, 17, ["states"])
    for tokenizer, window, fields, message in [
        (replace(CUBE, time_factor=4), 17, [], "^time_factor: .*4×8×8"),
        (replace(CUBE, is_causal=False), 17, [], "^time_factor: .*not causal"),
        (replace(CUBE, width=320), 17, [], "^grid: .*320×256"),
        (CUBE, 16, [], "^window: .*not 16"),
        (CUBE, 17, ["states", "pose"], "^pose: "),
    ]:
        with pytest.raises(LayoutError, match=message):
            v2.check(tokenizer, window, fields)
    with pytest.raises(LayoutError, match="^windows: "):
        v2.check(CUBE, 17, is_cut=True)
    good = sample("a", WINDOW, CUBE)
    with pytest.raises(LayoutError, match="^window: a is not of windows"):
        v2.write_shard(tmp_path, 0, [sample("a", ((2, 9),), CUBE)])
    with pytest.raises(LayoutError, match=r"^states: .*\[24\]"):
        v2.write_shard(tmp_path, 0, [with_fields(good, states=np.zeros((17, 24)))])
    with pytest.raises(LayoutError, match="^states: b and a"):
        other = with_fields(sample("b", WINDOW, CUBE), states=np.zeros((17, 25)))
        v2.write_shard(tmp_path, 0, [good, other])
    with pytest.raises(LayoutError, match="^shard_num_frames: "):
        v2.write_shard(tmp_path, 0, [])
    with pytest.raises(LayoutError, match="^split: "):
        layout("1x-v2", split="test")


def test_commavq_has_poses_and_no_times(tmp_path: Path) -> None:
    pose = np.arange(9 * 6, dtype=np.float32).reshape(9, 6)
    [path] = write(tmp_path, layout("commavq"), [with_fields(sample("a"), pose=pose)])
    assert path.name == "data-0000.tar.gz"
    packed = path.read_bytes()
    assert packed[4:8] == bytes(4) and packed[3] == 0  # gzip's time, and no name
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        members = tar.getmembers()
        assert [each.name for each in members] == ["a.json", "a.pose.npy", "a.token.npy"]
        assert all((each.mtime, each.uid, each.gid, each.uname, each.gname) == (0, 0, 0, "", "") for each in members)
        np.testing.assert_array_equal(np.load(io.BytesIO(tar.extractfile("a.pose.npy").read())), pose)
        assert json.load(tar.extractfile("a.json"))["pts"] == [i * FRAME for i in range(9)]


def test_the_flat_form_has_bos_and_eot(tmp_path: Path) -> None:
    tiny = replace(FSQ, width=16, height=8, codebook=10, levels=(2, 5))
    two = sample("a", ((2, 5), (1, 1)), tiny)
    two.tokens[:] = np.array([[[1, 2]], [[3, 4]], [[5, 6]]])
    write(tmp_path, layout("commavq-flat"), [two])
    row = np.fromfile(tmp_path / "train.bin", "<u2")
    assert row.tolist() == [10, 1, 2, 10, 3, 4, 11, 10, 5, 6, 11]
    about = json.loads((tmp_path / "train_metadata.json").read_text())
    assert (about["bos"], about["eot"], about["vocab_size"], about["tokens"]) == (10, 11, 12, 11)
    write(tmp_path / "val", layout("commavq-flat", split="val"), [two])
    assert (tmp_path / "val" / "val.bin").read_bytes() == (tmp_path / "train.bin").read_bytes()


def test_side_data_must_not_take_a_layouts_own_names() -> None:
    with pytest.raises(LayoutError, match="^pts: "):
        layout("webdataset").check(FSQ, None, ["pts"])
    with pytest.raises(LayoutError, match="^token: "):
        layout("commavq").check(FSQ, None, ["token"])


def stream_format() -> TokenFormat:
    return TokenFormat(
        model="toy",
        digest=FSQ.digest,
        levels=FSQ.levels,
        token_type="uint16",
        time_factor=4,
        space_factor=8,
        causal=True,
        width=32,
        height=32,
        framerate=Fraction(25),
        pixels="size=crop",
    )


RECORD = {"key": "clip", "source": "clip.mp4", "source_sha256": "cd" * 32, "first_frame": 100}


def vidtok_file(path: Path) -> Stream:
    """Two segments: 3 latent frames of 1, 4 and 2 video frames; then 2 of 1 and 4."""
    stream = Stream.of(
        stream_format(),
        np.arange(5 * 16).reshape(5, 4, 4),
        segment_starts=[0, 3],
        real_frames=[1, 4, 2, 1, 4],
        stream_id="id",
    )
    vidtok_stream.write(path, stream)
    return stream


def test_a_sample_is_read_from_its_file(tmp_path: Path) -> None:
    stream = vidtok_file(tmp_path / "clip.vidtok")
    whole = Sample.read(tmp_path / "clip.vidtok", RECORD, {"pose": np.zeros((12, 6))})
    assert whole.segments.tolist() == [[0, 3, 0, 7], [3, 2, 7, 5]]
    assert whole.tokens.dtype == np.uint32 and whole.first_frame == 100 and whole.tokenizer.pixels == "size=crop"
    np.testing.assert_array_equal(whole.tokens, stream.tokens)
    np.testing.assert_array_equal(whole.pts, np.arange(12) * FRAME)
    window = Sample.read(tmp_path / "clip.vidtok", RECORD | {"latent_frames": [1, 4]})
    assert window.segments.tolist() == [[0, 2, 0, 6], [2, 1, 6, 1]] and window.file is None
    np.testing.assert_array_equal(window.pts, np.arange(1, 8) * FRAME)
    np.testing.assert_array_equal(window.tokens, stream.tokens[1:4])


def test_a_sample_is_not_read_from_damage(tmp_path: Path) -> None:
    path = tmp_path / "clip.vidtok"
    vidtok_file(path)
    data = path.read_bytes()
    for name, wrong in {"cut": data[:-700], "flipped": data[:600] + b"\xff\xff" + data[602:], "empty": b""}.items():
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(ClipError, match=name):
            Sample.read(tmp_path / name, RECORD)
    for missing in ([0, 6], [2, 2], [-1, 2]):
        with pytest.raises(ClipError, match="no latent frames"):
            Sample.read(path, RECORD | {"latent_frames": missing})
    with pytest.raises(ClipError, match="absent"):
        Sample.read(tmp_path / "absent.vidtok", RECORD)


def test_the_files_themselves_are_a_layout(tmp_path: Path) -> None:
    path = tmp_path / "clip.vidtok"
    vidtok_file(path)
    pose = np.arange(24.0).reshape(12, 2)
    clip = Sample.read(path, RECORD, {"pose": pose})
    files = write(tmp_path / "set", layout("vidtok"), [clip])
    assert [each.name for each in files] == ["clip.json", "clip.pose.npy", "clip.vidtok"]
    assert files[2].read_bytes() == path.read_bytes()
    np.testing.assert_array_equal(np.load(files[1]), pose)
    [(about, tokens)] = documented("vidtok", tmp_path / "set")
    assert about["key"] == "clip"
    np.testing.assert_array_equal(tokens, clip.tokens)
    window = Sample.read(path, RECORD | {"latent_frames": [1, 4]})
    with pytest.raises(LayoutError, match="^windows: clip, which is cut out"):
        write(tmp_path / "set", layout("vidtok"), [window])
    with pytest.raises(LayoutError, match="^windows: a window that is cut out"):
        layout("vidtok").check(FSQ, 17, is_cut=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "a.b"}, "other characters"),
        ({"durations": np.zeros(8, np.int64)}, "8 durations for 9"),
        ({"fields": {"pose": np.zeros((8, 2))}}, r"'pose' of shape \[8, 2\] for 9"),
        ({"fields": {"a.b": np.zeros(9)}}, "a.b"),
        ({"fields": {"pose": np.array(["x"] * 9)}}, "numbers were expected"),
        ({"segments": np.array([[0, 3, 0, 8]])}, "not all 3 latent and 9 video frames"),
        ({"segments": np.array([[0, 2, 0, 5], [1, 2, 5, 4]])}, "segments are not all"),
        ({"tokens": np.full((3, 4, 4), 4096, np.uint32)}, "not below the codebook"),
        ({"tokens": np.zeros((3, 4, 5), np.uint32)}, r"\[3, 4, 5\]"),
    ],
)
def test_impossible_samples_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ClipError, match=message):
        replace(sample("a"), **change)


def test_a_manifest_is_verified(tmp_path: Path) -> None:
    entries = layout("webdataset").write_shard(tmp_path, 0, [sample("a")])
    files = [{"path": each.path, "bytes": each.bytes, "sha256": each.sha256} for each in entries]
    (tmp_path / "manifest.json").write_text(json.dumps({"files": files}))
    assert verify(tmp_path) == []
    shard = tmp_path / "shard-000000.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    assert verify(tmp_path) == ["shard-000000.tar: its checksum is another"]
    shard.write_bytes(data[:-1])
    assert verify(tmp_path) == [f"shard-000000.tar: has {len(data) - 1} bytes, not {len(data)}"]
    shard.unlink()
    assert verify(tmp_path) == ["shard-000000.tar: is missing"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_latents_are_channel_first_in_safetensors(dtype: str, tmp_path: Path) -> None:
    pose = np.arange(18, dtype=np.float32).reshape(9, 2)
    given = with_fields(sample("a", tokenizer=KL, first_frame=7), pose=pose)
    [path] = write(tmp_path, layout("safetensors", dtype=dtype), [given])
    assert path.name == "a_00007-009_0032x0032_vidtok.safetensors"
    with safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == [f"latents_3x4x4_{dtype}", "varlen_pose_float32"]
        about = file.metadata()
        np.testing.assert_array_equal(file.get_tensor("varlen_pose_float32"), pose)
    assert (about["architecture"], about["width"], about["height"], about["frame_count"]) == ("vidtok", "32", "32", "9")
    assert json.loads(about["vidtok"])["pts"] == given.pts.tolist()
    # safetensors has no bfloat16 for NumPy, so the bytes are read here.
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    tensor = json.loads(data[8 : 8 + length])[f"latents_3x4x4_{dtype}"]
    begin, end = (8 + length + offset for offset in tensor["data_offsets"])
    if dtype == "bfloat16":
        values = (np.frombuffer(data[begin:end], "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data[begin:end], np.dtype(dtype))
        [(about, read)] = documented("safetensors", tmp_path)
        np.testing.assert_array_equal(read, values.reshape(read.shape))
    assert tensor["shape"] == [3, 3, 4, 4]
    wanted = given.tokens.transpose(3, 0, 1, 2)
    # Half of the last digit: 24, 11 and 8 binary digits.
    digits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype]
    np.testing.assert_allclose(values.reshape(3, 3, 4, 4), wanted, rtol=2.0**-digits, atol=1e-7)


def test_latents_that_a_type_does_not_hold_are_refused(tmp_path: Path) -> None:
    given = sample("a", tokenizer=KL)
    given.tokens[0, 0, 0, 0] = 1e6
    with pytest.raises(LayoutError, match="^dtype: a has latents that float16 does not hold"):
        write(tmp_path, layout("safetensors", dtype="float16"), [given])
    write(tmp_path, layout("safetensors", dtype="bfloat16"), [given])
    with pytest.raises(LayoutError, match="^dtype: KL latents are float32, float16 or bfloat16"):
        layout("safetensors", dtype="int32").check(KL, None)


def test_a_shard_is_not_held_in_memory(tmp_path: Path) -> None:
    large = replace(FSQ, width=1024, height=1024)
    size = 64 * 128 * 128 * 4  # bytes of a sample's tokens: 4 MiB

    def samples():
        for i in range(12):
            yield sample(f"s{i}", ((64, 253),), large)

    for name in ("1x-v1", "commavq-flat", "webdataset", "safetensors", "npy", "mds"):
        tracemalloc.start()
        layout(name).write_shard(tmp_path / name, 0, samples())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 7 * size, name


@pytest.mark.parametrize(
    ("name", "module"),
    [("safetensors", "safetensors"), ("hdf5", "h5py"), ("parquet", "pyarrow"), ("lerobot", "pyarrow")],
)
def test_a_missing_package_is_named(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [each for each in sys.modules if each.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LayoutError, match=rf"needs {module}: pip install 'vidtok-dataset\[{name}\]'"):
        layout(name).check(FSQ, None)


def test_latents_of_a_file_go_into_safetensors(tmp_path: Path) -> None:
    kl = replace(stream_format(), levels=None, channels=3, token_type="float16")
    latents = np.random.default_rng(1).standard_normal((2, 4, 4, 3)).astype(np.float16)
    vidtok_stream.write(tmp_path / "clip.vidtok", Stream.of(kl, latents))
    clip = Sample.read(tmp_path / "clip.vidtok", RECORD)
    assert clip.tokens.dtype == np.float32 and clip.tokenizer.codebook is None
    write(tmp_path / "set", layout("safetensors", dtype="float16"), [clip])
    [(about, read)] = documented("safetensors", tmp_path / "set")
    assert about["tokenizer"]["channels"] == 3 and "codebook" not in about["tokenizer"]
    np.testing.assert_array_equal(read, latents.transpose(3, 0, 1, 2))
    write(tmp_path / "files", layout("vidtok"), [clip])
    [(_, read)] = documented("vidtok", tmp_path / "files")
    np.testing.assert_array_equal(read, latents)
