"""From a file on, the encoder's network gets the pixels that PyTorch's video readers would have given."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import pixel_toy
import stepping
from golden import ROOT

READER = Path(__file__).with_name("read_video.py")
# A folder with another PyAV than the environment's.
OTHER_PYAV = os.environ.get("VIDTOK_OTHER_PYAV")
BUILT_IN = ROOT / "models" / "vidtok-small-488-32768"
DECODE = "decodebin"
SIZE = (64, 48)


@dataclass(frozen=True)
class Element:
    """The plugin with the tokenizers whose tokens are pixels."""

    folder: Path

    def tokens(self, video: Path, *properties: str, decode: str = DECODE, model: str = "pixels") -> np.ndarray:
        """What the network got of a video: `[t, h, w, 3]`, for pictures of the size that the stats say."""
        output = self.folder / "tokens.f32"
        line = (
            f"filesrc location={video} ! {decode} ! vidtokenc name=e model={self.folder / model} {' '.join(properties)}"
        )
        line += f" ! video/x-vidtok,stream-format=raw ! filesink location={output}"
        done = self.launch(line)
        assert done.returncode == 0, done.stdout + done.stderr
        caps = next(line for line in reversed(done.stdout.splitlines()) if "video/x-vidtok" in line)
        width, height = (int(caps.split(f" {side}=(int)")[1].split(",")[0]) for side in ("width", "height"))
        return np.fromfile(output, "<f4").reshape(-1, height, width, 3)

    def launch(self, line: str) -> subprocess.CompletedProcess[str]:
        plugins = self.folder / "plugins"
        environment = os.environ | {
            "GST_PLUGIN_PATH": str(plugins),
            "GST_REGISTRY": str(self.folder / "registry.bin"),
        }
        command = ["gst-launch-1.0", "-v", *line.split()]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="session")
def element(tmp_path_factory: pytest.TempPathFactory) -> Element:
    folder = tmp_path_factory.mktemp("pixels")
    pixel_toy.export(folder / "pixels")
    pixel_toy.export(folder / "pixels-of-bytes", takes_bytes=True)
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
    (folder / "plugins").mkdir()
    (folder / "plugins" / built.name).symlink_to(built)
    return Element(folder)


def make(path: Path, codec: str, size: tuple[int, int] = SIZE, frames: int = 5, rate: int = 25) -> Path:
    """A video of moving shapes under noise, which has all colours."""
    width, height = size
    # The source has even sizes only.
    source = f"testsrc2=s={width + 2}x{height + 2}:r={rate},noise=alls=60:allf=t:all_seed=7,format=gbrp"
    source += f",crop={width}:{height}"
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", source, "-frames:v", str(frames), *codec.split()]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    return path


def read(video: Path, pyav: str | None = None) -> np.ndarray:
    """The frames of a video as PyAV reads them."""
    output = video.with_suffix(".npy")
    environment = os.environ | ({"PYTHONPATH": pyav} if pyav else {})
    done = subprocess.run(
        [sys.executable, READER, video, output], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # 17 is the first version that looks at the video's tags.
    assert int(done.stdout.split(".")[0]) >= 17
    return np.load(output)


X264 = "-c:v libx264 -preset ultrafast -qp 0"
BT709 = "-colorspace bt709 -color_primaries bt709 -color_trc bt709"
KINDS = {
    "untagged": ("mp4", f"-pix_fmt yuv420p {X264}"),
    "bt601": ("mp4", f"-pix_fmt yuv420p -colorspace smpte170m {X264}"),
    "bt709": ("mp4", f"-pix_fmt yuv420p {BT709} {X264}"),
    "bt2020": ("mkv", f"-pix_fmt yuv420p -colorspace bt2020nc {X264}"),
    "smpte240m": ("mkv", f"-pix_fmt yuv420p -colorspace smpte240m {X264}"),
    "full": ("mkv", f"-pix_fmt yuv420p -color_range pc {X264}"),
    "full-bt709": ("mkv", f"-pix_fmt yuv420p -color_range pc {BT709} {X264}"),
    # qtdemux loses that the file's box says so, too.
    "full-bt709-mp4": ("mp4", f"-pix_fmt yuv420p -color_range pc {BT709} {X264}"),
    "422": ("mkv", f"-pix_fmt yuv422p {X264}"),
    "444": ("mkv", f"-pix_fmt yuv444p {X264}"),
    "444-bt709": ("mkv", f"-pix_fmt yuv444p {BT709} {X264}"),
    "rgb": ("mkv", "-pix_fmt gbrp -c:v ffv1"),
    "grey": ("mkv", "-pix_fmt gray -c:v ffv1"),
    "10-bit": ("mkv", f"-pix_fmt yuv420p10le {X264}"),
    "10-bit-422-bt709": ("mkv", f"-pix_fmt yuv422p10le {BT709} {X264}"),
    "10-bit-444": ("mkv", f"-pix_fmt yuv444p10le {X264}"),
    "vp9": ("webm", "-pix_fmt yuv420p -c:v libvpx-vp9 -lossless 1 -cpu-used 8 -deadline realtime"),
    "mpeg-2": ("ts", "-pix_fmt yuv420p -c:v mpeg2video -q:v 2"),
    "mpeg-4": ("mp4", "-pix_fmt yuv420p -c:v mpeg4 -q:v 2"),
}
SIZES = [SIZE, (63, 48), (64, 47), (63, 47), (322, 182)]


@pytest.mark.parametrize("pyav", [None, OTHER_PYAV] if OTHER_PYAV else [None])
@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gets_the_bytes_that_pyav_reads(
    element: Element, tmp_path: Path, kind: str, pyav: str | None
) -> None:
    ending, codec = KINDS[kind]
    video = make(tmp_path / f"video.{ending}", codec)
    np.testing.assert_array_equal(element.tokens(video), read(video, pyav))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_pictures_may_have_any_size(element: Element, tmp_path: Path, size: tuple[int, int], pixels: str) -> None:
    video = make(tmp_path / "video.mkv", f"-pix_fmt {pixels} -c:v ffv1", size, frames=2)
    np.testing.assert_array_equal(element.tokens(video), read(video))


def test_a_range_that_the_container_denies_is_warned_of(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mp4", f"-pix_fmt yuv420p -color_range pc {BT709} {X264}")
    done = element.launch(
        f"filesrc location={video} ! decodebin ! vidtokenc model={element.folder / 'pixels'} ! fakesink"
    )
    assert done.returncode == 0
    assert "the video is believed" in done.stdout + done.stderr


def test_motion_jpeg_has_full_range(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.avi", "-pix_fmt yuvj420p -c:v mjpeg -q:v 2")
    # decodebin would take another decoder, whose inverse transform rounds otherwise.
    np.testing.assert_array_equal(element.tokens(video, decode="avidemux ! avdec_mjpeg"), read(video))


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_picture_is_turned_once(element: Element, tmp_path: Path, angle: int) -> None:
    stored = make(tmp_path / "stored.mp4", f"-pix_fmt yuv420p {X264}")
    video, shown = tmp_path / "turned.mp4", tmp_path / "shown.rgb"
    ffmpeg = ["ffmpeg", "-v", "error", "-i"]
    subprocess.run([*ffmpeg, stored, "-metadata:s:v:0", f"rotate={angle}", "-c", "copy", video], check=True, timeout=60)
    # As a player shows it.
    subprocess.run([*ffmpeg, video, "-f", "rawvideo", "-pix_fmt", "rgb24", shown], check=True, timeout=60)
    width, height = SIZE if angle == 180 else SIZE[::-1]
    upright = np.fromfile(shown, np.uint8).reshape(-1, height, width, 3)
    np.testing.assert_array_equal(element.tokens(video), upright)
    np.testing.assert_array_equal(element.tokens(video, "orientation=ignore"), read(video))
    flipped = element.tokens(video, decode="decodebin ! videoflip video-direction=auto")
    np.testing.assert_array_equal(flipped, upright)


def test_frames_are_picked_as_vidtok_picks_them(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mp4", f"-pix_fmt yuv420p {X264}", frames=20, rate=30)
    frames = read(video)
    for properties, interval in (
        (["frame-interval=3"], 3),
        (["sample-fps=8"], round(30 / 8)),
        (["sample-fps=12"], round(30 / 12)),
        (["sample-fps=100"], 1),
    ):
        np.testing.assert_array_equal(element.tokens(video, *properties), frames[::interval])


def test_semi_planar_and_packed_layouts_are_the_same_picture(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mkv", f"-pix_fmt yuv420p {X264}")
    planar = element.tokens(video)
    for layout in ("YV12", "NV12", "NV21"):
        converted = f"decodebin ! videoconvert ! video/x-raw,format={layout}"
        np.testing.assert_array_equal(element.tokens(video, decode=converted), planar, layout)
    video = make(tmp_path / "video422.mkv", f"-pix_fmt yuv422p {X264}")
    planar = element.tokens(video)
    for layout in ("YUY2", "UYVY"):
        converted = f"decodebin ! videoconvert ! video/x-raw,format={layout}"
        np.testing.assert_array_equal(element.tokens(video, decode=converted), planar, layout)


@pytest.mark.parametrize("layout", ["BGR", "RGBx", "BGRx", "xRGB", "xBGR", "RGBA", "BGRA", "ARGB", "ABGR", "GBR"])
def test_rgb_in_any_order_is_the_same_picture(element: Element, tmp_path: Path, layout: str) -> None:
    video = make(tmp_path / "video.mkv", "-pix_fmt gbrp -c:v ffv1", (63, 47), frames=2)
    converted = f"decodebin ! videoconvert ! video/x-raw,format={layout}"
    np.testing.assert_array_equal(element.tokens(video, decode=converted), read(video))


def test_exact_conversion_is_near(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mkv", f"-pix_fmt yuv444p {X264}")
    difference = element.tokens(video, "conversion=exact") - read(video)
    # swscale rounds factors of 13 bits: the results are equal or neighbours, where colours are legal.
    assert np.mean(np.abs(difference)) < 0.5


def resized(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """torchvision's Resize(antialias=True) of float pictures, in float64 (see tests/resize.rs for its own figures)."""

    def weights(source: int, target: int) -> np.ndarray:
        scale = source / target
        reach = max(1.0, scale)
        centres = (np.arange(target) + 0.5) * scale
        distances = np.abs(np.arange(source) + 0.5 - centres[:, None])
        triangle = np.maximum(0, 1 - distances / reach)
        return triangle / triangle.sum(1, keepdims=True)

    wide = np.einsum("ow,thwc->thoc", weights(frames.shape[2], width), frames.astype(float))
    return np.einsum("oh,thwc->towc", weights(frames.shape[1], height), wide)


def test_a_picture_is_resized_as_vidtok_resizes_it(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mp4", f"-pix_fmt yuv420p {BT709} {X264}", (192, 108))
    # The shorter side to 32; the longer one is cut to a whole number, and the middle of it is kept.
    expected = resized(read(video), 32, 192 * 32 // 108)
    np.testing.assert_allclose(element.tokens(video, "size=32"), expected, atol=0.01)
    left = round((expected.shape[2] - 32) / 2)
    middle = expected[:, :, left : left + 32]
    np.testing.assert_allclose(element.tokens(video, "size=32x32"), middle, atol=0.01)
    # A network that takes bytes gets the nearest ones.
    of_bytes = element.tokens(video, "size=32x32", model="pixels-of-bytes")
    np.testing.assert_array_equal(of_bytes, np.round(of_bytes))
    np.testing.assert_allclose(of_bytes, middle, atol=0.51)


def test_the_stream_says_what_was_done(element: Element, tmp_path: Path) -> None:
    video = make(tmp_path / "video.mp4", f"-pix_fmt yuv420p {BT709} {X264}")
    output = tmp_path / "video.vidtok"
    properties = "size=32x32 frame-interval=2"
    line = f"filesrc location={video} ! decodebin ! vidtokenc model={element.folder / 'pixels'} {properties}"
    done = element.launch(f"{line} ! filesink location={output}")
    assert done.returncode == 0, done.stderr
    data = output.read_bytes()
    length = int.from_bytes(data[8:12], "little")
    header = json.loads(data[12 : 12 + length])
    assert header["pixels"] == "yuv=swscale:bt709:limited size=crop:bilinear every=2"
    assert header["colorimetry"] == "1:1:5:1"
    assert header["framerate"] == "25/2"


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ("size=0", 'size "0"'),
        ("size=32x", "320x256"),
        ("frame-interval=2 sample-fps=8", "set one of them"),
    ],
)
def test_properties_that_make_no_sense_are_errors(element: Element, tmp_path: Path, properties: str, said: str) -> None:
    video = make(tmp_path / "video.mp4", f"-pix_fmt yuv420p {X264}")
    line = f"filesrc location={video} ! decodebin ! vidtokenc model={element.folder / 'pixels'} {properties} ! fakesink"
    done = element.launch(line)
    assert done.returncode != 0 and said in done.stderr


@pytest.mark.parametrize("kind", ["untagged", "bt709", "full-bt709-mp4", "422", "444", "vp9"])
def test_a_file_has_the_tokens_that_pytorch_would_have_made(element: Element, tmp_path: Path, kind: str) -> None:
    """The built-in tokenizer on PyAV's frames, step by step, without the element."""
    ending, codec = KINDS[kind]
    video = make(tmp_path / f"video.{ending}", codec, (192, 112), frames=9)
    frames = read(video)
    # The middle of a picture whose shorter side has 64 pixels.
    left = round((192 * 64 // 112 - 64) / 2)
    small = resized(frames, 64, 192 * 64 // 112)[:, :, left : left + 64].astype(np.float32)
    for picture, properties, least in ((frames, "", 1.0), (small, "size=64x64", 0.995)):
        expected = stepping.Tokenizer(BUILT_IN, *picture.shape[1:3]).encode(picture)["tokens"].ravel()
        output = tmp_path / "tokens.u16"
        line = f"filesrc location={video} ! decodebin ! vidtokenc {properties}"
        done = element.launch(f"{line} ! video/x-vidtok,stream-format=raw ! filesink location={output}")
        assert done.returncode == 0, done.stderr
        assert np.mean(np.fromfile(output, "<u2") == expected) >= least
