"""The data set's pure parts: sources, windows, side data."""

import json
from pathlib import Path

import numpy as np
import pytest
from vidtok_dataset.errors import ClipError, DatasetError
from vidtok_dataset.options import Options
from vidtok_dataset.side import SideData, picked_every
from vidtok_dataset.sources import find_clips
from vidtok_dataset.windows import Window, check_windows, windows_of
from vidtok_stream import Stream, TokenFormat

MS = 1_000_000


def token_format(causal: bool = True, pixels: str | None = None) -> TokenFormat:
    return TokenFormat(
        model="toy",
        digest="0" * 64,
        levels=(8, 8),
        token_type="uint16",
        time_factor=4,
        space_factor=8,
        causal=causal,
        width=16,
        height=8,
        pixels=pixels,
    )


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_a_folders_videos_are_sorted_and_named_by_their_paths(tmp_path: Path) -> None:
    for name in ("b.mp4", "a/z.x.MKV", "a/y.webm", "a/notes.txt", ".hidden.mp4", "a/sound.wav"):
        touch(tmp_path / name)
    clips = find_clips([str(tmp_path)])
    assert [clip.key for clip in clips] == ["a_y", "a_z_x", "b"]
    assert [Path(clip.path).name for clip in clips] == ["y.webm", "z.x.MKV", "b.mp4"]


def test_names_that_become_one_key_are_told_apart(tmp_path: Path) -> None:
    for name in ("a.b.mp4", "a_b.mp4", "a b.mkv"):
        touch(tmp_path / name)
    keys = [clip.key for clip in find_clips([str(tmp_path)])]
    assert len(set(keys)) == 3 and all(key.startswith("a_b-") for key in keys)
    # They do not depend on what else is there.
    touch(tmp_path / "c.mp4")
    assert [clip.key for clip in find_clips([str(tmp_path)])][:3] == keys


def test_a_source_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    video = str(touch(tmp_path / "a.mp4"))
    with pytest.raises(DatasetError, match="twice"):
        find_clips([video, video])


def test_tables_have_parts_and_keys(tmp_path: Path) -> None:
    table = tmp_path / "parts.csv"
    table.write_text("video,start,end,id\nclips/a.mp4,0.5,2,\nclips/a.mp4,,1.25,x-1\n/b.mp4,,,\n")
    clips = find_clips([str(table)])
    assert [(clip.key, clip.start, clip.end) for clip in clips] == [
        ("clips_a-500ms-2000ms", 0.5, 2.0),
        ("x-1", None, 1.25),
        ("b", None, None),
    ]
    assert [clip.path for clip in clips] == [str(tmp_path / "clips/a.mp4")] * 2 + ["/b.mp4"]


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"start": 1}, "no path"),
        ({"path": "a.mp4", "start": "soon"}, "seconds"),
        ({"path": "a.mp4", "start": 2, "end": 2}, "ends at 2"),
        ({"path": "a.mp4", "end": float("nan")}, "seconds"),
        ({"path": "a.mp4", "key": "a.b"}, "characters"),
        ([], "object"),
        ({"path": "."}, "no path"),
        ({"path": "a\0.mp4"}, "no path"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(tmp_path: Path, row: object, word: str) -> None:
    table = tmp_path / "parts.jsonl"
    table.write_text(json.dumps({"path": "z.mp4"}) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(DatasetError, match=word):
        find_clips([str(table)])


def test_no_videos_are_an_error(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "none.mp4", tmp_path / "*.mp4"):
        with pytest.raises(DatasetError):
            find_clips([str(source)])


@pytest.mark.parametrize(("causal", "frames"), [(True, (1, 5, 9, 13)), (False, (4, 8, 12, 16))])
def test_windows_alone_fill_their_latent_frames(causal: bool, frames: tuple[int, ...]) -> None:
    for window in range(1, 17):
        options = Options(window=window, windows="alone")
        if window in frames:
            check_windows(options, token_format(causal))
        else:
            with pytest.raises(DatasetError, match="by themselves"):
                check_windows(options, token_format(causal))


def test_windows_alone_are_whole_segments() -> None:
    real = np.array([1, 4, 4, 1, 4, 4, 1, 4, 2])
    found = list(windows_of(Options(window=9, windows="alone"), real, np.array([0, 3, 6])))
    assert found == [Window(0, 3, 0, 9), Window(3, 3, 9, 9)]


def test_windows_of_the_stream_stay_in_a_segment() -> None:
    real = np.array([1, 4, 4, 4, 4, 4, 1, 4, 4, 4, 2])
    found = list(windows_of(Options(window=8, windows="stream"), real, np.array([0, 6])))
    assert found == [Window(1, 2, 1, 8), Window(3, 2, 9, 8), Window(7, 2, 22, 8)]
    with pytest.raises(DatasetError, match="multiple of 4"):
        check_windows(Options(window=10, windows="stream"), token_format())


def test_a_clip_is_a_sample() -> None:
    assert list(windows_of(Options(), np.array([1, 4, 3]), np.array([0]))) == [Window(0, 3, 0, 8)]


def stream(frames: int, pixels: str | None = None) -> Stream:
    """At 25 frames per second."""
    real = [1, *[4] * ((frames - 1) // 4)]
    pts = np.arange(frames) * 40 * MS
    format = token_format(pixels=pixels)
    return Stream.of(format, np.zeros((len(real), 1, 2), np.uint16), real_frames=real, pts=pts)


def side(tmp_path: Path, rows: list[dict[str, object]]) -> SideData:
    path = tmp_path / "side.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return SideData.read(path)


def test_side_data_by_time_is_the_nearest_within_half_a_frame(tmp_path: Path) -> None:
    # At 100 rows per second, off by 3 ms.
    data = side(tmp_path, [{"time": 0.003 + 0.01 * n, "state": [n, n / 2], "button": n % 2} for n in range(40)])
    found = data.of_frames(stream(9), None)
    assert found["state"].dtype == np.float32 and found["button"].dtype == np.int64
    # Frame k is at 40 k ms; the nearest row is 4 k. The last row, at 393 ms, is near enough to frame 10.
    np.testing.assert_array_equal(found["state"][:, 0], 4 * np.arange(9))
    with pytest.raises(ClipError, match="no row for frame 11"):
        data.of_frames(stream(13), None)


def test_side_data_by_frame_counts_the_videos_frames(tmp_path: Path) -> None:
    data = side(tmp_path, [{"frame": n, "action": n} for n in range(20)])
    np.testing.assert_array_equal(data.of_frames(stream(9), None)["action"], np.arange(9))
    picked = data.of_frames(stream(9, pixels="yuv=swscale:bt601:limited every=2"), None)
    np.testing.assert_array_equal(picked["action"], 2 * np.arange(9))
    with pytest.raises(ClipError, match="time"):
        data.of_frames(stream(9), 0.5)


def test_one_row_is_enough_for_one_frame(tmp_path: Path) -> None:
    data = side(tmp_path, [{"frame": 0, "action": 7}])
    assert data.of_frames(stream(1), None)["action"].tolist() == [7]


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"x": 1}], "expected"),
        ([{"time": 1, "frame": 1}], "expected"),
        ([{"time": "1"}], "no time"),
        ([{"frame": 1.5}], "no frame"),
        ([{"frame": 1, "x": 1}, {"frame": 2}], "row 2"),
        ([{"frame": 2, "x": 1}, {"frame": 1, "x": 2}], "order"),
        ([{"frame": 1, "x": [1]}, {"frame": 2, "x": [1, 2]}], "different lengths"),
        ([{"frame": 1, "x": "left"}], "numbers"),
        ([], "no rows"),
    ],
)
def test_wrong_side_data_is_an_error(tmp_path: Path, rows: list[dict[str, object]], word: str) -> None:
    with pytest.raises(ClipError, match=word):
        side(tmp_path, rows)


def test_how_many_frames_are_picked_stands_in_the_header() -> None:
    assert picked_every(None) == picked_every("size=crop:bilinear") == 1
    assert picked_every("yuv=exact:bt709:full:left every=12") == 12


def test_options_contradict_each_other() -> None:
    with pytest.raises(DatasetError, match="give one"):
        Options(fps="30", sample_fps=8)
    with pytest.raises(DatasetError, match="fraction"):
        Options(fps="fast")
    with pytest.raises(DatasetError, match="leave --key-interval out"):
        Options(window=17, windows="alone", key_interval=30)
