"""vidtok_stream.run against the elements, and what it says of folders and inputs that it cannot use.

That all golden models give the reference's tokens and pictures is tested in test_golden.py.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import toy

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import Stream, follow, packets, read, write  # noqa: E402
from vidtok_stream.run import BUILT_IN, Decoder, Encoder, ModelError  # noqa: E402

MODEL = ROOT / "models" / BUILT_IN


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Smooth moving shapes, `[count, height, width, 3]`."""
    t, y, x, c = np.ogrid[:count, :height, :width, :3]
    return (127.5 + 60 * np.sin((x + 3 * t) / 9 + c) + 60 * np.cos((y - 2 * t) / 7)).astype(np.uint8)


class Element:
    """The elements, by gst-launch-1.0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
        (folder / "plugins").mkdir()
        (folder / "plugins" / built.name).symlink_to(built)
        self.environment = os.environ | {
            "GST_PLUGIN_PATH": str(folder / "plugins"),
            "GST_REGISTRY": str(folder / "registry.bin"),
        }

    def encode(self, frames: np.ndarray, *properties: str) -> Stream:
        count, height, width = frames.shape[:3]
        # GStreamer pads rows to four bytes.
        rows = np.zeros((count, height, -(-width * 3 // 4) * 4), np.uint8)
        rows[:, :, : width * 3] = frames.reshape(count, height, -1)
        (self.folder / "frames.rgb").write_bytes(rows.tobytes())
        source = f"filesrc location=frames.rgb ! rawvideoparse format=rgb width={width} height={height} framerate=30/1"
        self.launch(f"{source} ! vidtokenc {' '.join(properties)} ! filesink location=made.vidtok")
        return read(self.folder / "made.vidtok")

    def decode(self, stream: Stream, *properties: str) -> np.ndarray:
        write(self.folder / "tokens.vidtok", stream)
        height, width = stream.format.height, stream.format.width
        line = (
            f"filesrc location=tokens.vidtok ! vidtokparse ! vidtokdec {' '.join(properties)} ! video/x-raw,format=RGB"
        )
        self.launch(f"{line} ! filesink location=shown.rgb")
        rows = np.fromfile(self.folder / "shown.rgb", np.uint8).reshape(-1, height, -(-width * 3 // 4) * 4)
        return rows[:, :, : width * 3].reshape(-1, height, width, 3)

    def launch(self, line: str) -> None:
        command = ["gst-launch-1.0", "-q", *line.split()]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def element(tmp_path_factory: pytest.TempPathFactory) -> Element:
    return Element(tmp_path_factory.mktemp("element"))


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer whose decoder is three frames late, and whose tokens are exact."""
    toy.export(folder := tmp_path_factory.mktemp("toy"), "toy")
    return folder


def fixture(name: str) -> Path:
    return Path(os.environ.get("VIDTOK_FIXTURES", ROOT / "target" / "fixtures")) / name


@pytest.mark.parametrize("key_interval", [0, 1, 7])
def test_a_late_tokenizers_tokens_and_frames_are_the_elements(late: Path, element: Element, key_interval: int) -> None:
    """Of a size in no whole cells, with a last group that is not full; bit by bit."""
    frames = pictures(19, 35, 50)
    made = element.encode(frames, f"model={late}", f"key-interval={key_interval}")
    encoder = Encoder(late, key_interval=key_interval)
    own = encoder.encode_stream(frames, 30)
    np.testing.assert_array_equal(own.tokens, made.tokens)
    np.testing.assert_array_equal(encoder.encode(frames), made.tokens)
    assert len(np.unique(own.tokens)) > 50
    assert own.segment_starts.tolist() == made.segment_starts.tolist()
    assert own.real_frames.tolist() == made.real_frames.tolist()
    # rawvideoparse adds up rounded durations.
    np.testing.assert_allclose(own.pts, made.pts, atol=len(frames))
    assert encoder.encode_stream(frames, pts=made.pts).pts.tolist() == made.pts.tolist()
    assert own.format.to_fields().items() <= made.format.to_fields().items()
    shown = Decoder(late).decode(made)
    assert shown.shape == frames.shape
    np.testing.assert_array_equal(shown, element.decode(own, f"model={late}"))


@pytest.mark.parametrize("model", [None, "golden_fsq_noncausal", "golden_kl_v1_0"])
def test_networks_give_the_elements_tokens_and_frames(model: str | None, element: Element) -> None:
    folder = None if model is None else fixture(model)
    named = [] if folder is None else [f"model={folder}"]
    frames = pictures(18, 20, 26)
    made = element.encode(frames, *named)
    own = Encoder(folder).encode_stream(frames, 30)
    assert own.tokens.shape == made.tokens.shape
    assert own.tokens.dtype == made.tokens.dtype or own.format.channels
    if own.format.channels:
        # The element writes the same in float16.
        np.testing.assert_allclose(own.tokens, made.tokens.astype(np.float32), rtol=2e-3, atol=2e-3)
    else:
        # The plugin's own kernels round otherwise: only what is near a tie may differ.
        assert (own.tokens != made.tokens).mean() < 0.01
    assert own.segment_starts.tolist() == made.segment_starts.tolist()
    assert own.real_frames.tolist() == made.real_frames.tolist()
    shown, expected = Decoder(folder).decode(made), element.decode(made, *named)
    assert shown.shape == expected.shape == frames.shape
    assert abs(shown.astype(int) - expected).max() <= 1


def test_a_running_pipeline_is_followed(late: Path, element: Element) -> None:
    line = "videotestsrc num-buffers=30 is-live=true ! video/x-raw,width=32,height=16,framerate=30/1"
    line += f" ! vidtokenc model={late}"
    command = ["gst-launch-1.0", "-q", *line.split(), *"! tee name=t ! queue ! fdsink t. ! queue ! filesink".split()]
    command.append(f"location={element.folder / 'same.vidtok'}")
    with subprocess.Popen(command, env=element.environment, stdout=subprocess.PIPE) as pipeline:
        assert pipeline.stdout
        began, came = time.monotonic(), []
        follower = follow(pipeline.stdout, timeout=30)
        for tokens in follower:
            came.append((time.monotonic() - began, tokens))
    whole = read(element.folder / "same.vidtok")
    # 1 + 29 frames, the last three in a group that is not full.
    assert len(came) == len(whole.tokens) == 9
    np.testing.assert_array_equal(np.concatenate([tokens for _, tokens in came]), whole.tokens)
    # The pipeline is live: they came one after the other, and not at its end.
    assert came[-1][0] - came[0][0] > 0.5


def test_step_by_step_it_is_the_same_and_holds_little(late: Path, tmp_path: Path) -> None:
    frames = pictures(27, 24, 32)
    encoder, decoder = Encoder(late, key_interval=9), Decoder(late)
    whole = encoder.encode_stream(frames, 30)
    steps = list(encoder.stream(iter(frames)))
    np.testing.assert_array_equal(np.concatenate([step.tokens for step in steps]), whole.tokens)
    assert [step.real_frames for step in steps] == whole.real_frames.tolist()
    assert np.flatnonzero([step.segment_start for step in steps]).tolist() == whole.segment_starts.tolist()
    write(tmp_path / "clip.vidtok", whole)
    shown = np.concatenate(list(decoder.stream(packets(tmp_path / "clip.vidtok"))))
    np.testing.assert_array_equal(shown, decoder.decode(whole))
    np.testing.assert_array_equal(
        decoder.decode(whole.tokens, segment_starts=whole.segment_starts.tolist(), size=(24, 32), frames=27), shown
    )
    # Two streams of one encoder take turns.
    first, second = encoder.start(), encoder.start()
    mixed = [(first.push(frame), second.push(frame[::-1])) for frame in frames]
    found = [step for pair in mixed for step in pair[0]] + first.flush()
    np.testing.assert_array_equal(np.concatenate([step.tokens for step in found]), whole.tokens)


def test_a_stream_that_never_ends_takes_no_more_memory(late: Path) -> None:
    picture = pictures(1, 128, 128)[0]
    encoder, decoder = Encoder(late), Decoder(late).start()
    stream = encoder.start()

    def run(frames: int) -> None:
        for _ in range(frames):
            for step in stream.push(picture):
                decoder.push(step.tokens)

    run(20)
    tracemalloc.start()
    run(20)
    before = tracemalloc.get_traced_memory()[0]
    run(400)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A frame has 49,152 bytes; a step's numbers are a few of them.
    assert abs(after - before) < 49152
    assert peak < 40 * 49152


def test_some_frames_of_a_file_decode_to_what_they_are(late: Path, tmp_path: Path) -> None:
    frames = pictures(40, 16, 24)
    write(path := tmp_path / "clip.vidtok", Encoder(late, key_interval=13).encode_stream(frames, 30))
    decoder = Decoder(late)
    some, whole = read(path, frames=range(20, 23)), decoder.decode(read(path))
    assert len(some.tokens) < 6
    np.testing.assert_array_equal(decoder.decode(some)[some.wanted_frames], whole[20:23])


def test_floats_are_taken_between_the_bytes(tmp_path: Path) -> None:
    toy.export(tmp_path / "bytes", "toy")
    toy.export(tmp_path / "floats", "toy", floats=True)
    frames = pictures(9, 16, 16)
    of_bytes, of_floats = Encoder(tmp_path / "bytes"), Encoder(tmp_path / "floats")
    wanted = of_bytes.encode(frames)
    np.testing.assert_array_equal(of_floats.encode(frames), wanted)
    shifted = frames.astype(np.float32) + 0.3
    np.testing.assert_array_equal(of_bytes.encode(shifted), wanted)
    assert (of_floats.encode(shifted) != wanted).any()
    with pytest.raises(ModelError, match="not a finite number"):
        of_floats.encode(np.full((1, 8, 8, 3), np.nan))


def test_the_built_in_tokenizer_has_the_files_of_the_models_folder() -> None:
    package = ROOT / "python" / "vidtok_stream" / "run" / "built_in"
    assert {path.name for path in package.iterdir()} == {"tokenizer.json", "encoder.onnx", "decoder.onnx"}
    for path in package.iterdir():
        assert path.read_bytes() == (MODEL / path.name).read_bytes()
    assert Encoder().description == Encoder(BUILT_IN).description == Decoder(MODEL).description


def test_what_cannot_be_used_is_said(late: Path) -> None:
    encoder, decoder = Encoder(late), Decoder(late)
    wrong: list[tuple[str, Callable[[], object]]] = [
        ("frames of shape [4, 4, 3]", lambda: encoder.encode(np.zeros((4, 4, 3), np.uint8))),
        ("frames of type int64", lambda: encoder.encode(np.zeros((1, 4, 4, 3), np.int64))),
        ("without frames", lambda: encoder.encode(np.zeros((0, 4, 4, 3), np.uint8))),
        ("tokens of shape [2]", lambda: decoder.decode(np.zeros(2, int))),
        ("from 0 to 32767", lambda: decoder.decode(np.full((1, 1, 1), 32768))),
        ("from 0 to 32767", lambda: decoder.decode(np.zeros((1, 1, 1)))),
        ("a video of 8×24 pixels", lambda: decoder.decode(np.zeros((1, 1, 1), int), size=(24, 8))),
        ("stand for 5", lambda: decoder.decode(np.zeros((2, 1, 1), int), frames=6)),
        (
            "a segment starts at latent frame 3 of 2",
            lambda: decoder.decode(np.zeros((2, 1, 1), int), segment_starts=[3]),
        ),
        ("the tokens are of", lambda: decoder.decode(Encoder().encode_stream(pictures(1, 8, 8), 30))),
        ("has no NoneSuch", lambda: Encoder(late, providers=["NoneSuch"]).encode(pictures(1, 8, 8))),
        ("no folder", lambda: Encoder("none-such")),
        ("no variant of precision fp16", lambda: Encoder(late, precision="fp16")),
    ]
    for said, use in wrong:
        with pytest.raises(ModelError) as error:
            use()
        assert said in str(error.value)
    stream = encoder.start()
    stream.push(pictures(1, 8, 8)[0])
    with pytest.raises(ModelError, match="a frame of 16×8 pixels follows those of 8×8"):
        stream.push(pictures(1, 8, 16)[0])


def broken(text: str | bytes) -> Callable[[Path], object]:
    data = text.encode() if isinstance(text, str) else text
    return lambda folder: (folder / "tokenizer.json").write_bytes(data)


def changed(**keys: object) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        facts = json.loads(path.read_text()) | {name.replace("_", "-"): value for name, value in keys.items()}
        path.write_text(json.dumps({name: value for name, value in facts.items() if value != "missing"}))

    return change


def variant(**keys: object) -> Callable[[Path], object]:
    return changed(variants=[{"target": "cpu", "precision": "fp32", "encoder": "encoder.onnx"} | keys])


def graph(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], object]:
    def save(folder: Path) -> None:
        model = onnx.load(path := folder / "encoder.onnx")
        change(model)
        onnx.save(model, path)

    return save


def says(key: str, value: str) -> Callable[[Path], object]:
    def change(model: onnx.ModelProto) -> None:
        next(entry for entry in model.metadata_props if entry.key == f"vidtok.{key}").value = value

    return graph(change)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no description": (lambda folder: (folder / "tokenizer.json").unlink(), "cannot read"),
    "not JSON": (broken("{"), "not JSON"),
    "not text": (broken(b"\xff\xfe\x00"), "not JSON"),
    "a list": (broken("[]"), "not a JSON object"),
    "deep": (broken("[" * 100_000), "not JSON"),
    "a long number": (broken('{"format": ' + "9" * 10_000 + "}"), "not JSON"),
    "newer": (changed(format=2), "format 2"),
    "no digest": (changed(digest="missing"), '"digest" is missing'),
    "wrong digest": (changed(digest="F" * 64), '"digest" has the impossible value'),
    "huge levels": (changed(levels=[1 << 29] * 64), "impossible FSQ levels"),
    "levels of words": (changed(levels=["eight"]), '"levels" has the impossible value'),
    "a large factor": (changed(time_factor=1 << 30), '"time-factor" has the impossible value'),
    "a window": (changed(window=16), '"window" has the impossible value'),
    "not causal": (changed(causal=False), '"window" has the impossible value'),
    "a long delay": (changed(decoder_delay=4), '"decoder-delay" has the impossible value'),
    "no variants": (changed(variants={}), "not a list"),
    "empty variants": (changed(variants=[None]), "a variant is not an object"),
    "no path": (variant(encoder=7), "no path of its encoder"),
    "a path outside": (variant(encoder="../encoder.onnx"), "leads out of the folder"),
    "an absolute path": (variant(encoder="/dev/zero"), "leads out of the folder"),
    "a zero byte": (variant(encoder="a\0b"), "leads out of the folder"),
    "no file": (variant(encoder="none.onnx"), "cannot read"),
    "a folder": (variant(encoder="."), "not a regular file"),
    "another name": (changed(name="other"), "of another tokenizer than its tokenizer.json: name differ"),
    "a pipe": (
        lambda folder: ((folder / "encoder.onnx").unlink(), os.mkfifo(folder / "encoder.onnx")),
        "not a regular file",
    ),
    "the decoder": (lambda folder: shutil.copy(folder / "decoder.onnx", folder / "encoder.onnx"), "not the encoder"),
    "not a graph": (lambda folder: (folder / "encoder.onnx").write_bytes(b"nothing"), "cannot load"),
    "no metadata": (graph(lambda model: model.ClearField("metadata_props")), "no vidtok. metadata"),
    "another digest": (says("digest", "0" * 64), "of another tokenizer than its tokenizer.json: digest differ"),
    "another factor": (changed(space_factor=16), "of another tokenizer than its tokenizer.json: space_factor differ"),
    "an unknown type": (says("input", "float64"), '"input" has the impossible value'),
    "another type": (says("input", "float32"), 'should have an input "frames" of tensor(float)'),
    "an unknown input": (
        graph(lambda model: model.graph.input.append(onnx.helper.make_tensor_value_info("more", 1, [1]))),
        'unknown input "more"',
    ),
    "a state of any size": (
        graph(lambda model: setattr(model.graph.input[2].type.tensor_type.shape.dim[2], "dim_param", "many")),
        "whose size is not fixed",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_that_cannot_be_used_is_refused(name: str, late: Path, tmp_path: Path) -> None:
    change, said = HOSTILE[name]
    shutil.copytree(late, folder := tmp_path / "tokenizer")
    for path in folder.glob("*.gpu.onnx"):
        path.unlink()
    change(folder)
    with pytest.raises(ModelError) as error:
        Encoder(folder).encode(pictures(1, 16, 16))
    assert said in str(error.value)
    assert str(folder) in str(error.value)


def test_without_onnx_runtime_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('none here')")
    program = "import numpy, vidtok_stream.run as r; r.Encoder().encode(numpy.zeros((1, 8, 8, 3), numpy.uint8))"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'python'}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert "ImportError: running a tokenizer needs ONNX Runtime: pip install 'vidtok-stream[run]'" in done.stderr
