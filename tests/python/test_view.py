"""The viewer: its arithmetic here, and the program itself without a screen."""

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from figures import Pacer, Queued, Rate, bit_rate, factor, share, together
from layout import Box, arrange, inside, largest, rows_of
from programs import CLIP, EXAMPLES, PATIENCE, PYTHON, environment, fail, succeed
from sources import AddressError, launch_line, source
from token_map import Spread, TokenError, Tokens, colours, digits, mark_lost

VIEWER = EXAMPLES / "view" / "vidtok_view.py"
WEIGHTS = [2.0, 1.0, 1.2, 1.1, 1.1]
# The least brightness by which pictures of a room differ from a pane without a picture.
LIT = 70


# Arithmetic


def test_colours_are_the_last_three_digits() -> None:
    layout = Tokens(height=1, width=2, token_type="uint16", levels=(8, 8, 8, 8, 8))
    # Digits 1, 2, 7, 0, 7 and 1, 2, 0, 0, 0, lowest first.
    indices = np.array([[[1 + 2 * 8 + 7 * 8**2 + 7 * 8**4, 1 + 2 * 8]]], "<u2")
    tokens = layout.read(indices.tobytes())
    assert digits(tokens, layout.levels)[0, 0, 0] * 7 == pytest.approx([1, 2, 7, 0, 7])
    red, green, blue = colours(tokens, layout, Spread())[0, 0, 0]
    assert red == blue > green
    assert not colours(tokens, layout, Spread())[0, 0, 1].any()


def test_similar_codes_have_similar_colours() -> None:
    layout = Tokens(height=1, width=3, token_type="uint32", levels=(8, 8, 8))
    near, far = 8**2, 7 * 8**2
    shown = colours(layout.read(np.array([0, near, far], "<u4").tobytes()), layout, Spread())[0, 0].astype(int)
    assert 0 < abs(shown[1] - shown[0]).sum() < abs(shown[2] - shown[0]).sum()


@pytest.mark.parametrize("channels", [1, 3, 8])
def test_vectors_show_their_first_channels(channels: int) -> None:
    layout = Tokens(height=3, width=1, token_type="float16", channels=channels)
    values = np.zeros((1, 3, 1, channels), "<f2")
    values[0, :, 0, 0] = -2, 0, 2
    spread = Spread()
    shown = colours(layout.read(values.tobytes()), layout, spread)
    assert shown.shape == (1, 3, 1, 3)
    # The mean is grey, and as far from either end.
    assert (shown[0, 1, 0] == 128).all()
    assert 0 < shown[0, 0, 0, 0] < 128 < shown[0, 2, 0, 0] < 255
    # What is no number, or far from all others, is nothing to draw, and no error.
    values[0, :, 0, 0] = np.nan, 6e4, np.inf
    assert colours(layout.read(values.tobytes()), layout, spread).shape == shown.shape


@pytest.mark.parametrize("data", [b"", b"\0" * 3, b"\0" * 10])
def test_tokens_that_do_not_fit_are_an_error(data: bytes) -> None:
    layout = Tokens(height=2, width=2, token_type="uint16", levels=(8,))
    with pytest.raises(TokenError, match="no whole latent frames of 2×2 cells"):
        layout.read(data)


def test_lost_cells_are_red() -> None:
    shown = np.full((2, 2, 2, 3), 90, np.uint8)
    mark_lost(shown, [(1, 2), (7, 99)])
    lost = (shown[..., 0] > shown[..., 1]).reshape(-1)
    assert lost.tolist() == [False, True, True, False, False, False, False, True]


def test_bits_per_second_are_those_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.bits() is None
    for at in range(100):
        # 1,000 bytes ten times a second; five times as many at first.
        rate.add(at / 10, 5_000 if at < 10 else 1_000)
    assert rate.bits() == pytest.approx(80_000, rel=0.01)
    # A file that begins anew.
    rate.add(0.0, 1_000)
    assert rate.bits() is None
    assert (bit_rate(None), bit_rate(124_400), bit_rate(2.5e6)) == ("–", "124 kbit/s", "2.50 Mbit/s")


def test_bursts_are_spread() -> None:
    pacer = Pacer()
    # Four pictures come together, when the last one was taken, for three seconds.
    due = []
    for burst in range(22):
        for frame in range(4):
            pacer.came((4 * burst + 3) / 30, (4 * burst + frame) / 30)
            due.append(pacer.due((4 * burst + frame) / 30))
    assert np.diff(due) == pytest.approx(1 / 30)
    # A hiccup of a second is forgotten after ten.
    pacer.came(5.0, 4.0)
    assert pacer.due(6.0) == pytest.approx(7.0)
    pacer.came(16.0, 15.9)
    assert pacer.due(16.0) == pytest.approx(16.1)


def test_what_a_queue_drops_is_counted() -> None:
    queued = Queued()
    for stamp in range(5):
        queued.came(stamp, 0.25)
    for stamp in (0, 3):
        queued.left(stamp)
    # 1 and 2; 4 is still inside.
    assert queued.dropped == 0.5
    queued.left(4)
    assert queued.dropped == 0.5


def test_figures_are_of_both() -> None:
    # 1 s of video takes 1/4 and 1/2 s.
    assert together([4.0, 2.0]) == pytest.approx(4 / 3)
    assert together([0.0]) is None and factor(None) == "–"
    assert (factor(4 / 3), factor(12.3)) == ("×1.3", "×12")
    assert share(1, 3) == 25 and share(0, 0) == 0


@pytest.mark.parametrize("width", [320, 777, 1280, 3840])
@pytest.mark.parametrize("aspect", [0.3, 4 / 3, 16 / 9, 6.0])
@pytest.mark.parametrize("panes", [1, 2, 3, 4, 7])
# As high as it needs to be, or as it was before: for pictures of 4:3.
@pytest.mark.parametrize("keep", [False, True])
def test_nothing_overlaps_and_all_is_inside(panes: int, aspect: float, width: int, keep: bool) -> None:
    height = arrange(panes, 4 / 3, WEIGHTS, width).height if keep else None
    layout = arrange(panes, aspect, WEIGHTS, width, height)
    assert layout.width % 2 == layout.height % 2 == 0 and layout.height == (height or layout.height)
    boxes = [*layout.panes, layout.status]
    assert len(boxes) == panes + 1
    for at, box in enumerate(boxes):
        assert box.x > 0 and box.y > 0 and box.width >= 4 and box.height >= 4
        assert box.x + box.width < layout.width and box.y + box.height <= layout.height
        for other in boxes[:at]:
            beside = box.x >= other.x + other.width or other.x >= box.x + box.width
            assert beside or box.y >= other.y + other.height or other.y >= box.y + box.height
    most = largest(panes, width)
    assert all(box.width <= most[0] and box.height <= most[1] for box in layout.panes)
    assert sum(rows_of(WEIGHTS, width)) == len(WEIGHTS)


def test_pictures_keep_their_shape() -> None:
    assert inside(Box(10, 10, 100, 100), 50, 25) == Box(10, 35, 100, 50)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nothing.mp4", "no such file"),
        (str(EXAMPLES), "this is a folder"),
        ("http://somewhere/clip.mp4", "only udp:// and rtsp://"),
        ("udp://somewhere", "udp://HOST:PORT"),
        ("udp://a:99999", "udp://HOST:PORT"),
        ("udp://a!fakesink:5000", "udp://HOST:PORT"),
    ],
)
def test_an_address_that_is_wrong_is_an_error(address: str, words: str) -> None:
    with pytest.raises(AddressError, match=re.escape(words)):
        source(address)


def test_only_what_is_tokenized_here_has_originals() -> None:
    for address, has in (("test", True), ("camera", True), (str(CLIP), True), ("rtsp://a/b", False)):
        line = launch_line(source(address), box=(300, 200))
        assert ("name=original" in line) == ("vidtokenc" in line) == has


@pytest.mark.parametrize(
    ("host", "shared"), [("127.0.0.1", False), ("camera.local", False), ("239.1.2.3", True), ("[ff02::1]", True)]
)
def test_only_a_group_shares_its_port(host: str, shared: bool) -> None:
    assert (" reuse=true " in source(f"udp://{host}:5004").line) == shared


def test_tokens_of_a_network_never_wait_long_for_the_decoder() -> None:
    for address in ("rtsp://a/b", "udp://127.0.0.1:5004"):
        before, _, _ = launch_line(source(address), box=(300, 200)).partition("! vidtokdec")
        queue = before.rpartition(" ! ")[2]
        assert "leaky=downstream" in queue and re.search(r"max-size-time=[1-9]\d{,8}\b", queue)
    # A file's tokens all have their turn.
    assert "leaky" not in launch_line(source(str(CLIP)), box=(300, 200))


# The program


def view(*arguments: str | Path) -> str:
    return succeed(PYTHON, VIEWER, *arguments)


def png(path: Path) -> NDArray[np.int16]:
    """`[height, width, 3]`."""
    with av.open(str(path)) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24").astype(np.int16)


def pane(canvas: NDArray[np.int16], number: int, panes: int, aspect: float) -> NDArray[np.int16]:
    """The pixels of a pane, less its edge."""
    box = arrange(panes, aspect, WEIGHTS, canvas.shape[1]).panes[number]
    y, x = int(box.y) + 2, int(box.x) + 2
    return canvas[y : y + int(box.height) - 4, x : x + int(box.width) - 4]


def psnr(one: NDArray[np.int16], other: NDArray[np.int16]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one - other) ** 2.0)))


def test_a_file_beside_its_reconstruction(tmp_path: Path) -> None:
    view(CLIP, "--headless", "21", "--out", tmp_path / "view.png")
    canvas = png(tmp_path / "view.png")
    original, reconstruction, tokens = (pane(canvas, number, 3, 4 / 3) for number in range(3))
    with av.open(str(CLIP)) as file:
        frame = [*zip(file.decode(video=0), range(21), strict=False)][20][0]
    own = frame.reformat(width=original.shape[1] + 4, height=original.shape[0] + 4, interpolation="BILINEAR")
    # The 21st picture; scaled by others, so not quite the same.
    assert psnr(original, own.to_ndarray(format="rgb24")[2:-2, 2:-2].astype(np.int16)) > 28
    # The tokenizer's card has 27 dB for this clip. Pictures of other times, or none, are far below.
    assert psnr(original, reconstruction) > 22
    assert tokens.mean() > LIT and psnr(tokens, original) < 15
    # There is writing above the panes and in the status line.
    assert canvas[20:50].max() > 200 and canvas[-60:].max() > 200


def test_a_film_shows_what_is_lost(tmp_path: Path) -> None:
    view(CLIP, "--loss", "20", "--headless", "40", "--width", "640", "--out", tmp_path / "view.mp4")
    with av.open(str(tmp_path / "view.mp4")) as file:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in file.decode(video=0)]
    # Ten latent frames of three packets: one that all came is as good as impossible.
    assert len(frames) == 40
    # Lost cells are red, the rest of the map is of all colours.
    reddish = [(pane(frame, 2, 3, 4 / 3) @ [2, -1, -1]).mean() for frame in frames]
    assert max(reddish) > min(reddish) + 20


def test_a_file_of_tokens(tmp_path: Path) -> None:
    tokens = tmp_path / "clip.vidtok"
    made = "videotestsrc num-buffers=21 ! video/x-raw,width=64,height=48,framerate=30/1 ! vidtokenc"
    succeed("gst-launch-1.0", "-q", *f"{made} ! filesink location={tokens}".split())
    view(tokens, "--headless", "21", "--out", tmp_path / "view.png")
    reconstruction, shown = (pane(png(tmp_path / "view.png"), number, 2, 4 / 3) for number in range(2))
    assert reconstruction.mean() > LIT and shown.std() > 30 and psnr(reconstruction, shown) < 15


def test_a_window_shows_all_at_its_pace(tmp_path: Path) -> None:
    # Nothing is drawn, but all that a window gets: 9 pictures at 10 per second last 0.8 s.
    clip = tmp_path / "clip.mkv"
    made = (
        "videotestsrc num-buffers=9 ! video/x-raw,width=64,height=64,framerate=10/1 ! x264enc ! h264parse ! matroskamux"
    )
    succeed("gst-launch-1.0", "-q", *f"{made} ! filesink location={clip}".split())
    started = time.monotonic()
    view(clip, "--sink", "fakesink")
    assert time.monotonic() - started > 0.8


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


def camera(width: int, height: int) -> str:
    return f"videotestsrc is-live=true ! video/x-raw,width={width},height={height},framerate=30/1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    program = EXAMPLES / "rtsp_server.py"
    with running("/usr/bin/python3", program, "--port=0", camera(64, 48)) as server:
        assert server.stdout
        address = server.stdout.readline().strip()
        assert address.startswith("rtsp://"), address
        yield address


def test_tokens_of_a_server(server: str, tmp_path: Path) -> None:
    view(server, "--headless", "12", "--out", tmp_path / "view.png")
    reconstruction, tokens = (pane(png(tmp_path / "view.png"), number, 2, 4 / 3) for number in range(2))
    # Bars of bright colours.
    assert reconstruction.mean() > LIT and reconstruction.std() > 50
    assert tokens.std() > 30 and psnr(reconstruction, tokens) < 15


def test_an_sdp_file_says_what_comes(server: str, tmp_path: Path) -> None:
    host, port = re.findall(r"//(.*):(\d+)/", server)[0]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"DESCRIBE {server} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n".encode())
        answer = connection.recv(65536).decode()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sdp = tmp_path / "tokens.sdp"
    sdp.write_text(answer.partition("\r\n\r\n")[2].replace("m=video 0", f"m=video {port}"), encoding="utf-8")
    # Without config-interval, nothing but the SDP says what the tokens are.
    sender = f"{camera(64, 48)} ! vidtokenc key-interval=8 ! rtpvidtokpay ! udpsink host=127.0.0.1 port={port}"
    with running("gst-launch-1.0", "-q", *sender.split()):
        view(sdp, "--headless", "5", "--out", tmp_path / "view.png")
    assert pane(png(tmp_path / "view.png"), 0, 2, 4 / 3).mean() > LIT


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        # Bound, so nobody else has it, but nobody listens.
        options = ["--headless", "5", "--out", tmp_path / "view.png", "--patience", "1"]
        assert "nobody answers there" in fail(PYTHON, VIEWER, f"rtsp://127.0.0.1:{port}/tokens", *options)
        dead = f"udp://127.0.0.1:{port}"
        assert f"{dead}: nothing has come for 1 s" in fail(PYTHON, VIEWER, dead, *options)
        # The first socket is TCP's.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            assert "another program has the port" in fail(PYTHON, VIEWER, dead, *options)
    # The picture says so, too.
    canvas = png(tmp_path / "view.png")
    assert canvas[canvas.shape[0] // 3 : canvas.shape[0] // 2].max() > 200


def test_packets_that_nothing_describes(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sender = f"{camera(64, 48)} ! vidtokenc key-interval=8 ! rtpvidtokpay ! udpsink host=127.0.0.1 port={port}"
    with running("gst-launch-1.0", "-q", *sender.split()):
        options = ["--headless", "1", "--out", tmp_path / "view.png", "--patience", "3"]
        said = fail(PYTHON, VIEWER, f"udp://127.0.0.1:{port}", *options)
    assert "packets come, but no picture for 3 s" in said and "--sdp FILE" in said


def test_a_server_of_something_else(tmp_path: Path) -> None:
    program = (
        "import gi; gi.require_version('Gst', '1.0'); gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import GLib, Gst, GstRtspServer\n"
        "Gst.init(None); server = GstRtspServer.RTSPServer(service='0'); factory = GstRtspServer.RTSPMediaFactory()\n"
        f"factory.set_launch('( {camera(64, 48)} ! x264enc tune=zerolatency ! rtph264pay name=pay0 )')\n"
        "server.get_mount_points().add_factory('/camera', factory); server.attach(None)\n"
        "print(server.get_bound_port(), flush=True); GLib.MainLoop().run()"
    )
    with running("/usr/bin/python3", "-c", program) as other:
        assert other.stdout
        address = f"rtsp://127.0.0.1:{other.stdout.readline().strip()}/camera"
        said = fail(PYTHON, VIEWER, address, "--headless", "1", "--out", tmp_path / "view.png")
    assert "what comes from there are no tokens" in said


def test_a_film_that_is_ended_early_can_be_played(tmp_path: Path) -> None:
    film = tmp_path / "view.mp4"
    arguments = ["test", "--encoder", "size=48", "--headless", "9000", "--out", film]
    with running(PYTHON, VIEWER, *arguments) as program:
        until = time.monotonic() + PATIENCE
        while not (film.exists() and film.stat().st_size) and time.monotonic() < until:
            time.sleep(0.1)
        program.terminate()
        assert program.wait(PATIENCE) == 0
    with av.open(str(film)) as file:
        assert [*file.decode(video=0)]


def test_a_desktop_that_is_not_there() -> None:
    # Left out: a sink that crashes without one (GStreamer 1.22).
    without = ["DISPLAY=:987", "WAYLAND_DISPLAY=nothing", "GST_PLUGIN_FEATURE_RANK=dfbvideosink:NONE"]
    assert "there is no window to draw in" in fail("env", *without, PYTHON, VIEWER, "test")


def test_what_the_server_has_not(server: str, tmp_path: Path) -> None:
    said = fail(
        PYTHON, VIEWER, server.replace("/tokens", "/nothing"), "--headless", "1", "--out", tmp_path / "view.png"
    )
    assert "Not found" in said


def test_a_file_of_sound(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mkv"
    made = f"audiotestsrc num-buffers=20 ! avenc_aac ! matroskamux ! filesink location={sound}"
    succeed("gst-launch-1.0", "-q", *made.split())
    said = fail(PYTHON, VIEWER, sound, "--headless", "1", "--out", tmp_path / "view.png")
    assert "it has no video that GStreamer decodes" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.mp4"], "no such file"),
        ([EXAMPLES / "README.md"], "text file"),
        # From a block of addresses for documents.
        (["udp://192.0.2.1:5004"], "this machine has no such address"),
        ([CLIP, "--panes", "original,sound"], "there is no 'sound'"),
        ([CLIP, "--loss", "nan"], "--loss: from 0"),
        ([CLIP, "--patience", "-1"], "--patience: more than 0"),
        (["rtsp://127.0.0.1:1/a", "--panes", "original"], "has no original pictures"),
        ([CLIP, "--encoder", "colour=blue"], 'no property "colour"'),
        (["udp://127.0.0.1:5000", "--sdp", VIEWER], "it announces no tokens"),
    ],
)
def test_a_mistake_is_named(arguments: list[str | Path], words: str, tmp_path: Path) -> None:
    assert words in fail(PYTHON, VIEWER, *arguments, "--headless", "1", "--out", tmp_path / "view.png")
