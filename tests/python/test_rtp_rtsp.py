"""The example of an RTSP server serves tokens, and GStreamer's own players play them.

The server runs on the system's Python, which has GStreamer's bindings.
"""

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SERVER = REPOSITORY / "examples" / "rtsp_server.py"
CAMERA = "videotestsrc is-live=true ! video/x-raw,width=64,height=64"
# Seconds that a player has.
PATIENCE = 30


def environment() -> dict[str, str]:
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return {**os.environ, "GST_PLUGIN_PATH": str(target / "debug")}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    command = ["/usr/bin/python3", str(SERVER), "--port=0", CAMERA]
    # The tests' modules are not for this Python.
    own = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        line = server.stdout.readline().strip()
        try:
            assert line.startswith("rtsp://"), line
            yield line
        finally:
            server.kill()


def run(*command: str) -> str:
    done = subprocess.run(command, env=environment(), timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("protocols", ["udp", "tcp"])
def test_rtspsrc_plays(address: str, protocols: str) -> None:
    source = ["rtspsrc", f"location={address}", f"protocols={protocols}", "latency=50"]
    rest = "! rtpvidtokdepay ! vidtokdec ! fakesink num-buffers=30 sync=false"
    assert "Got EOS" in run("gst-launch-1.0", *source, *rest.split())


def test_a_player_finds_the_elements_itself(address: str) -> None:
    line = f"uridecodebin uri={address} ! fakesink num-buffers=30 sync=false"
    printed = run("gst-launch-1.0", "-v", *line.split())
    caps = re.findall(r"GstRtpVidtokDepay:\S+:src: caps = (\S+),|GstVidtokDec:\S+:src: caps = (\S+),", printed)
    assert {name for names in caps for name in names if name} == {"video/x-vidtok", "video/x-raw"}
    assert "Got EOS" in printed


def test_gst_play_plays(address: str) -> None:
    command = ["gst-play-1.0", "--videosink=fakesink", "--audiosink=fakesink", "--no-interactive", address]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as player:
        assert player.stdout
        limit = threading.Timer(PATIENCE, player.kill)
        limit.start()
        printed = ""
        # The position is printed over and over; two seconds in, it plays.
        while (more := player.stdout.read(64)) and "0:00:02." not in printed:
            printed += more
        limit.cancel()
        player.kill()
    assert "0:00:02." in printed, printed
    assert "ERROR" not in printed, printed
