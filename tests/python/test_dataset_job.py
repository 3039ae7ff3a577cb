"""`vidtok-dataset` as a user runs it: what it makes of videos, good and bad, and that a kill loses nothing."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from vidtok_stream import read

from dataset import PYTHON, SIZE, Program, contents, make_video, manifest, tokens

SEED = 20261127
FACTOR = 4  # of the built-in tokenizer: video frames per latent frame


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return Program.new(tmp_path_factory.mktemp("program"))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven videos of other lengths, and five files that are none."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        make_video(folder / f"clip{number}.mp4", frames=9 + 5 * number)
    make_video(folder / "deep" / "clip.one.mkv", frames=21, source="mandelbrot")
    good = (folder / "clip5.mp4").read_bytes()
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("This is no video.\n" * 20)
    (folder / "cut.mp4").write_bytes(good[: len(good) // 2])
    command = f"ffmpeg -v error -y -f lavfi -i sine=d=1 {folder}/sound.mp4"
    subprocess.run(command.split(), check=True, timeout=60)
    (folder / "notes.txt").write_text("Not in the data set.\n")
    return folder


def element_tokens(program: Program, video: Path, properties: str = "") -> np.ndarray:
    """Those that `vidtokenc` gives of a video."""
    output = program.folder / "tokens.u16"
    line = f"filesrc location={video} ! decodebin ! vidtokenc {properties}"
    line += f" ! video/x-vidtok,stream-format=raw ! filesink location={output}"
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=program.environment(), check=True, timeout=60)
    width, height = (-(-side // 8) for side in SIZE)
    return np.fromfile(output, "<u2").reshape(-1, height, width)


ARGUMENTS = ("--layout", "webdataset", "--clips-per-shard", "3")


@pytest.fixture(scope="module")
def made(program: Program, videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "set"
    said = program.run(videos, "--out", folder, *ARGUMENTS)
    assert "7 samples of 7 clips" in said
    return folder


def test_every_video_has_the_elements_tokens(program: Program, videos: Path, made: Path) -> None:
    found = tokens(made)
    assert sorted(found) == [*(f"clip{number}" for number in range(6)), "deep_clip_one"]
    for key, video in [("clip0", "clip0.mp4"), ("clip3", "clip3.mp4"), ("deep_clip_one", "deep/clip.one.mkv")]:
        np.testing.assert_array_equal(found[key], element_tokens(program, videos / video))


def test_files_without_video_are_skipped_with_their_reason(made: Path) -> None:
    skipped = {each["key"]: each["reason"] for each in manifest(made)["skipped"]}
    assert sorted(skipped) == ["cut", "empty", "sound", "text"]
    assert skipped["sound"] == "there is no video in it"
    assert all(skipped.values())


def test_skips_set_the_exit_status_only_if_asked_for(program: Program, videos: Path, tmp_path: Path) -> None:
    sources = [videos / "empty.mp4", videos / "clip0.mp4"]
    program.run(*sources, "--out", tmp_path / "a", *ARGUMENTS)
    said = program.run(*sources, "--out", tmp_path / "b", *ARGUMENTS, "--fail-on-skips", status=3)
    assert "empty.mp4" in said


def test_a_second_run_changes_nothing(program: Program, videos: Path, made: Path) -> None:
    before = {name: (made / name).stat().st_mtime_ns for name in contents(made)}
    assert "7 samples of 7 clips" in program.run(videos, "--out", made, *ARGUMENTS)
    assert {name: (made / name).stat().st_mtime_ns for name in contents(made)} == before


def test_other_options_or_videos_do_not_go_into_the_same_folder(program: Program, videos: Path, made: Path) -> None:
    before = contents(made)
    said = program.run(videos, "--out", made, *ARGUMENTS, "--size", "32x32", status=1)
    assert "size = None, not 32x32" in said
    assert "clips" in program.run(videos / "clip0.mp4", "--out", made, *ARGUMENTS, status=1)
    assert contents(made) == before
    assert "not empty" in program.run(videos / "clip0.mp4", "--out", videos, *ARGUMENTS, status=1)


def test_a_kill_at_any_moment_loses_and_changes_nothing(
    program: Program, videos: Path, made: Path, tmp_path: Path
) -> None:
    moments = random.Random(SEED)
    begun = time.monotonic()
    program.run(videos, "--out", tmp_path / "whole", *ARGUMENTS)
    whole = time.monotonic() - begun
    kills = 0
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        arguments = (videos, "--out", folder, *ARGUMENTS)
        for _ in range(3):
            kills += program.killed_after(moments.uniform(0.1, 0.8) * whole, *arguments)
        program.run(*arguments)
        assert contents(folder) == contents(made)
    assert kills >= 4, "the kills came too late to test anything"


def test_parts_are_cut_at_the_frame(program: Program, videos: Path, tmp_path: Path) -> None:
    video = videos / "clip5.mp4"  # 34 frames at 25 per second
    table = tmp_path / "parts.jsonl"
    parts = [(0.2, 0.6), (None, 0.28), (1.0, None)]
    rows = [{"path": str(video), "start": start, "end": end} for start, end in parts]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    program.run(table, "--out", tmp_path / "set", *ARGUMENTS)
    assert not manifest(tmp_path / "set")["damaged"]
    found = list(tokens(tmp_path / "set").values())
    for (first, behind), part in zip([(5, 15), (0, 7), (25, 34)], found, strict=True):
        # The same frames as a video of their own, without loss.
        cut = tmp_path / "cut.mkv"
        select = f"select='between(n,{first},{behind - 1})',setpts=N/25/TB"
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(video), "-vf", select, "-c:v", "ffv1", str(cut)]
        subprocess.run(command, check=True, timeout=60)
        np.testing.assert_array_equal(part, element_tokens(program, cut))


def test_windows_alone_are_those_frames_tokenized_by_themselves(program: Program, videos: Path, tmp_path: Path) -> None:
    video = videos / "clip5.mp4"
    program.run(video, "--out", tmp_path / "set", *ARGUMENTS, "--window", "13")
    found = tokens(tmp_path / "set")
    assert list(found) == ["clip5-00000", "clip5-00001"]
    whole = element_tokens(program, video)
    np.testing.assert_array_equal(found["clip5-00000"], whole[:4])
    # The second is not what follows in the clip's own tokens.
    assert found["clip5-00001"].shape == (4, 6, 8)
    assert (found["clip5-00001"][0] != whole[4]).any()
    said = program.run(video, "--out", tmp_path / "other", *ARGUMENTS, "--window", "16", status=1)
    assert "13 or 17" in said


def test_windows_alone_are_files_that_play(program: Program, videos: Path, tmp_path: Path) -> None:
    arguments = ("--layout", "vidtok", "--window", "13")
    program.run(videos / "clip5.mp4", "--out", tmp_path / "set", *arguments)
    second = tmp_path / "set" / "shard-00000" / "clip5-00001.vidtok"
    found = read(second)
    assert (len(found.tokens), len(found.pts), found.pts[0]) == (4, 13, 13 * 40_000_000)
    line = f"filesrc location={second} ! vidtokparse ! vidtokdec ! video/x-raw,format=RGB"
    line += f" ! filesink location={tmp_path}/frames.rgb"
    subprocess.run(["gst-launch-1.0", "-q", *line.split()], env=program.environment(), check=True, timeout=60)
    assert (tmp_path / "frames.rgb").stat().st_size == 13 * 3 * SIZE[0] * SIZE[1]
    arguments = (*arguments[:2], "--window", "12", "--windows", "stream")
    assert "windows:" in program.run(videos / "clip5.mp4", "--out", tmp_path / "cut", *arguments, status=1)


def test_windows_of_the_stream_are_cut_out_of_the_clips_tokens(program: Program, videos: Path, tmp_path: Path) -> None:
    video = videos / "clip5.mp4"
    program.run(video, "--out", tmp_path / "set", *ARGUMENTS, "--window", "12", "--windows", "stream")
    whole = element_tokens(program, video)
    found = tokens(tmp_path / "set")
    assert len(found) == 2
    for index, window in enumerate(found.values()):
        start = 1 + index * 12 // FACTOR
        np.testing.assert_array_equal(window, whole[start : start + 12 // FACTOR])


def test_a_clip_without_a_whole_window_is_too_short(program: Program, videos: Path, tmp_path: Path) -> None:
    program.run(videos / "clip0.mp4", "--out", tmp_path / "set", *ARGUMENTS, "--window", "13")
    [skipped] = manifest(tmp_path / "set")["skipped"]
    assert skipped["reason"] == "too short: 9 frames, and a sample has 13"


def test_a_clip_that_is_not_like_the_others_is_skipped(program: Program, videos: Path, tmp_path: Path) -> None:
    for name, width in (("a", 1), ("b", 2), ("c", 1)):
        video = make_video(tmp_path / "videos" / f"{name}.mp4")
        rows = [{"frame": frame, "state": [0.5] * width} for frame in range(13)]
        video.with_suffix(".jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--layout", "hdf5", "--size", "64x48", "--side", ".jsonl")
    program.run(tmp_path / "videos", "--out", tmp_path / "set", *arguments)
    made = manifest(tmp_path / "set")
    [skipped] = made["skipped"]
    assert (made["samples"], skipped["key"]) == (2, "b") and "state float32 [2]" in skipped["reason"]


def test_a_layout_of_one_size_or_rate_is_told_it(program: Program, videos: Path, tmp_path: Path) -> None:
    arguments = (videos / "clip0.mp4", "--out", tmp_path / "set")
    assert "--size" in program.run(*arguments, "--layout", "1x-v1", status=1)
    assert "--fps" in program.run(*arguments, "--layout", "lerobot", "--size", "64x64", status=1)


def test_damage_in_the_middle_is_counted(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "damaged.mp4", frames=60, codec="-c:v libx264 -g 60 -movflags +faststart")
    data = bytearray(video.read_bytes())
    noise = random.Random(SEED)
    for _ in range(40):
        data[noise.randrange(len(data) * 2 // 3, len(data) - 100)] ^= 0x5A
    video.write_bytes(data)
    said = program.run(video, "--out", tmp_path / "set", *ARGUMENTS)
    [damaged] = manifest(tmp_path / "set")["damaged"]
    assert damaged["messages"] > 0 and "damaged: " in said
    table = tmp_path / "parts.jsonl"
    parts = [{"path": str(video), "end": end} for end in (0.2, 2.36)]
    table.write_text("".join(json.dumps(part) + "\n" for part in parts))
    program.run(table, "--out", tmp_path / "parts", *ARGUMENTS)
    # The first frame is most of the file, so that the damage begins at about 0.3 s.
    [damaged] = manifest(tmp_path / "parts")["damaged"]
    assert damaged["messages"] > 0 and damaged["key"].endswith("2360ms")


def test_a_clip_is_decoded_as_if_it_were_the_first(program: Program, tmp_path: Path) -> None:
    """Elements that were chosen for a clip decode the next ones like it, damaged ones among them."""
    noise = random.Random(SEED)
    folder = tmp_path / "clips"
    good = make_video(folder / "a.mp4", frames=30, codec="-c:v libx264 -g 30 -movflags +faststart").read_bytes()
    for number in range(4):
        data = bytearray(good)
        for _ in range(10):
            data[noise.randrange(len(data) // 2, len(data) - 100)] ^= 0x5A
        (folder / f"b{number}.mp4").write_bytes(data)
    (folder / "c.mp4").write_bytes(good[: len(good) * 7 // 10])
    make_video(folder / "d.mp4", frames=30, codec="-c:v mpeg4")
    (folder / "e.mp4").write_bytes(good)
    made = {}
    for name, sources in [("together", [folder]), *((each.stem, [each]) for each in sorted(folder.iterdir()))]:
        out = tmp_path / name
        program.run(*sources, "--out", out, *ARGUMENTS, "--jobs", "1", "--clips-per-shard", "100")
        said = json.loads((out / ".job" / "shard-000000.json").read_text())["clips"]
        made[name] = {each["clip"]["key"]: each for each in said}, tokens(out)
    together, found = made.pop("together")
    assert sum(bool(each["tokenized"] and each["tokenized"]["damage"]) for each in together.values()) >= 2
    for key, (alone, of_one) in made.items():
        assert together[key] == alone[key]
        assert (key in found) == (key in of_one)
        if key in found:
            np.testing.assert_array_equal(found[key], of_one[key])


def test_a_file_that_ends_early_is_damaged(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "cut.mp4", frames=75, codec="-c:v libx264 -movflags +faststart")
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 6 // 10])
    program.run(video, "--out", tmp_path / "set", *ARGUMENTS)
    made = manifest(tmp_path / "set")
    [damaged] = made["damaged"]
    assert damaged["should_end_at"] == 3.0 and damaged["ends_at"] < 2.5
    assert made["frames"] < 75


def test_names_that_are_not_text_are_no_hindrance(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    video = make_video(folder / "a.mp4")
    names = [b"\x85.mp4", "line\u2028break.mp4".encode(), b"<b>'\" \n.mp4"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(video.read_bytes())
    for _ in range(2):
        assert "4 samples" in program.run(folder, "--out", tmp_path / "set", *ARGUMENTS)


def test_nothing_stays_of_a_clip_in_memory(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4")
    # A part at another rate has everything that could hold on to a pipeline.
    count = """
import gc, sys, threading
from pathlib import Path
from vidtok_dataset.options import Options
from vidtok_dataset.pipeline import Running, Tokenizer
from vidtok_dataset.sources import Clip

clip = Clip(key="a", path=sys.argv[1], start=0.1, end=0.4)
with Tokenizer(Options(fps="10"), Running()) as tokenizer:
    for turn in range(3):
        for _ in range(10):
            tokenizer.tokenize(clip, Path(sys.argv[2]), threading.Event())
        gc.collect()
        print(len(gc.get_objects()))
"""
    command = [PYTHON, "-c", count, str(video), str(tmp_path / "a.vidtok")]
    done = subprocess.run(
        command, env=program.environment(), cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    )
    _, before, after = map(int, done.stdout.split())
    assert after - before < 10, "a clip leaves Python objects, and with them its pipeline"


def test_a_pipe_is_skipped(program: Program, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    program.run(tmp_path / "pipe.mp4", "--out", tmp_path / "set", *ARGUMENTS)
    assert manifest(tmp_path / "set")["skipped"][0]["reason"] == "it is not a regular file"


def test_a_picture_that_changes_its_size_costs_its_clip_alone(program: Program, videos: Path, tmp_path: Path) -> None:
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    for path, size in ((small, "64x48"), (large, "96x64")):
        source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=25", "-frames:v", "25", "-c:v", "mpeg2video"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", *source, str(path)], check=True, timeout=60)
    changing = tmp_path / "changing.ts"
    changing.write_bytes(small.read_bytes() + large.read_bytes())
    program.run(changing, videos / "clip0.mp4", "--out", tmp_path / "set", *ARGUMENTS)
    made = manifest(tmp_path / "set")
    assert [each["key"] for each in made["skipped"]] == ["changing"]
    assert made["samples"] == 1


def test_tokens_do_not_say_where_the_tokenizer_was(program: Program, videos: Path, tmp_path: Path) -> None:
    made = []
    for place in ("here", "there"):
        shutil.copytree(Path(os.environ["VIDTOK_FIXTURES"]) / "toy", tmp_path / place)
        arguments = ("--layout", "vidtok", "--model", tmp_path / place)
        program.run(videos / "clip0.mp4", "--out", tmp_path / f"of-{place}", *arguments)
        made.append((tmp_path / f"of-{place}" / "shard-00000" / "clip0.vidtok").read_bytes())
    assert made[0] == made[1]


def test_another_tokenizer_does_not_go_on(program: Program, videos: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "model", tmp_path / "set"
    fixtures = Path(os.environ["VIDTOK_FIXTURES"])
    shutil.copytree(fixtures / "toy", model)
    arguments = (videos / "clip0.mp4", videos / "clip1.mp4", "--out", out, *ARGUMENTS, "--model", model)
    program.run(*arguments)
    # As if it had been killed before.
    for name in ("manifest.json", ".job/shard-000000.json"):
        (out / name).unlink()
    shutil.rmtree(model)
    shutil.copytree(fixtures / "toy_mixed", model)
    assert "has tokens of the tokenizer" in program.run(*arguments, status=1)


def test_a_finished_data_set_is_looked_at_again(program: Program, videos: Path, tmp_path: Path) -> None:
    arguments = (videos / "clip0.mp4", "--out", tmp_path / "set", *ARGUMENTS)
    program.run(*arguments)
    (tmp_path / "set" / "shard-000000.tar").unlink()
    assert "is missing" in program.run(*arguments, status=1)


def test_side_data_by_frame_does_not_go_with_another_rate(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4")
    video.with_suffix(".jsonl").write_text("".join(json.dumps({"frame": n, "x": n}) + "\n" for n in range(13)))
    program.run(video, "--out", tmp_path / "set", *ARGUMENTS, "--side", ".jsonl", "--fps", "10")
    assert "--fps" in manifest(tmp_path / "set")["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--interpolation", "nonsense"), "interpolation"),
        (("--execution-provider", "nonsense"), "execution-provider"),
        (("--sample-fps", "nan"), "sample-fps"),
        (("--fps", "0.0000001"), "fps"),
        (("--jobs", "-1"), "jobs"),
        (("--window", "0"), "window"),
        (("--window", "16", "--windows", "stream", "--key-interval", "4"), "key-interval"),
        (("--side", "jsonl"), "side"),
        (("--dtype", "int8"), "dtype"),
    ],
)
def test_a_wrong_option_is_told_before_any_work(
    program: Program, videos: Path, tmp_path: Path, arguments: tuple[str, ...], word: str
) -> None:
    said = program.run(videos / "clip0.mp4", "--out", tmp_path / "set", *ARGUMENTS, *arguments, status=1)
    assert said.startswith("vidtok-dataset: ") and word in said and "Traceback" not in said
    assert not (tmp_path / "set" / ".job" / "plan.json").exists()


def test_frames_per_second_are_exact(program: Program, tmp_path: Path) -> None:
    video = make_video(tmp_path / "video.mp4", frames=61, rate="60")
    program.run(video, "--out", tmp_path / "set", *ARGUMENTS, "--fps", "30")
    assert manifest(tmp_path / "set")["frames"] == 31
    program.run(video, "--out", tmp_path / "picked", *ARGUMENTS, "--frame-interval", "2")
    # Both keep every other frame.
    np.testing.assert_array_equal(tokens(tmp_path / "set")["video"], tokens(tmp_path / "picked")["video"])


def test_a_missing_source_or_layout_is_an_error_before_any_work(program: Program, tmp_path: Path) -> None:
    assert "no such file" in program.run(tmp_path / "none.mp4", "--out", tmp_path / "set", *ARGUMENTS, status=1)
    video = make_video(tmp_path / "video.mp4")
    said = program.run(video, "--out", tmp_path / "set", *ARGUMENTS, "--model", tmp_path / "none", status=1)
    assert "tokenizer" in said
    wrong = ("--layout", "1x-v2", "--size", "256x256", "--window", "17")
    said = program.run(video, "--out", tmp_path / "other", *wrong, status=1)
    assert "time_factor" in said


def test_a_stop_skips_no_clip(program: Program, tmp_path: Path) -> None:
    # So large that its checksum takes a while: the stop comes then.
    video = tmp_path / "large.mp4"
    with open(make_video(video), "ab") as file:
        file.truncate(4 << 30)
    process = program.start(video, "--out", tmp_path / "set", *ARGUMENTS)
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("this machine was done before it was stopped")
    assert process.returncode == 130, out + err
    assert not list((tmp_path / "set").glob(".job/shards/*/*.json"))
