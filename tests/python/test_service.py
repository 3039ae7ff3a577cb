"""The example of a service of many cameras. It runs on the system's Python, which has GStreamer's bindings."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from vidtok_stream import read

from dataset import PYTHON
from golden import ROOT

FOLDER = ROOT / "examples" / "service"
sys.path.append(str(FOLDER))

from capacity_rule import Live, Run, answer, is_right  # noqa: E402
from settings import Backoff, Settings, SettingsError, read_file, without_password  # noqa: E402

# Seconds for anything that a test waits for.
PATIENCE = 60
SMALL = {"width": 64, "height": 64, "framerate": 30}


@dataclass(frozen=True)
class Service:
    address: str
    process: int
    output: Path

    def call(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, str]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} | headers
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def add(self, **camera: Any) -> None:
        status, text = self.call("POST", "/cameras", camera)
        assert status == 201, text

    def remove(self, name: str) -> None:
        status, text = self.call("DELETE", f"/cameras/{name}")
        assert status == 200, text

    def cameras(self) -> dict[str, dict[str, Any]]:
        return {camera["name"]: camera for camera in json.loads(self.call("GET", "/cameras")[1])}

    def wait(self, is_so: Callable[[dict[str, dict[str, Any]]], bool]) -> dict[str, dict[str, Any]]:
        ends = time.monotonic() + PATIENCE
        while not is_so(cameras := self.cameras()):
            assert time.monotonic() < ends, cameras
            time.sleep(0.1)
        return cameras

    def metric(self, name: str, camera: str) -> float:
        text = self.call("GET", "/metrics")[1]
        found = re.search(rf'^{name}{{camera="{camera}",[^}}]*}} (\S+)$', text, re.MULTILINE)
        assert found, text
        return float(found[1])

    def resident_kb(self) -> int:
        lines = Path(f"/proc/{self.process}/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process}/task").iterdir()))


def environment(folder: Path) -> dict[str, str]:
    built = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "libgstvidtok.so"
    (folder / built.name).symlink_to(built)
    # The tests' modules are not for this Python.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # With several arenas, memory goes up and down by which thread got which: see examples/README.md.
    return own | {"GST_PLUGIN_PATH": str(folder), "GST_REGISTRY": str(folder / "registry"), "MALLOC_ARENA_MAX": "1"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


@contextmanager
def running(folder: Path) -> Iterator[Service]:
    (folder / "out").mkdir()
    command = [PYTHON, str(FOLDER / "service.py"), "--port=0", f"--output={folder / 'out'}"]
    with subprocess.Popen(command, env=environment(folder), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().strip().removesuffix("/cameras")
        try:
            assert address.startswith("http://127.0.0.1:"), address
            yield Service(address, process.pid, folder / "out")
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_what_a_camera_sends_another_one_shows(service: Service) -> None:
    port = free_port()
    service.add(name="in", kind="receive", port=port)
    service.add(name="out", port=port, key_interval=20, **SMALL)
    service.wait(lambda cameras: cameras["in"]["frames"] >= 30)
    assert service.metric("vidtok_frames_total", "out") >= service.metric("vidtok_frames_total", "in") >= 30
    assert service.metric("vidtok_packets_total", "in") >= 8
    assert service.metric("vidtok_concealed_cells_total", "in") == 0
    assert service.metric("vidtok_step_seconds_mean", "out") > 0
    # A packet leaves the encoder no earlier than three frames of 33 ms behind its first one, but for segment starts.
    assert service.metric("vidtok_buffer_lateness_seconds_sum", "out") > 0.5
    for name in ("in", "out"):
        service.remove(name)
    assert service.cameras() == {}
    assert 'camera="out"' not in service.call("GET", "/metrics")[1]


def test_a_decoder_does_not_wait_with_the_sink(service: Service) -> None:
    port = free_port()
    # The sink shows a picture a second and a step behind its time.
    service.add(name="in", kind="receive", port=port, jitter_ms=1000)
    service.add(name="out", port=port, **SMALL)

    def so_far() -> tuple[float, float]:
        return tuple(service.metric(f"vidtok_buffer_lateness_seconds_{what}", "in") for what in ("sum", "count"))

    service.wait(lambda cameras: cameras["in"]["frames"] >= 60)
    before, pictures = so_far()
    service.wait(lambda cameras: cameras["in"]["frames"] >= 150)
    after, more = so_far()
    # The decoder would be late by that, less a frame, if it began a step when the picture before is shown.
    assert (after - before) / (more - pictures) < 0.5
    for name in ("in", "out"):
        service.remove(name)


def test_a_segment_start_leaves_no_earlier_than_other_packets(service: Service) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE)
        service.add(name="out", port=receiver.getsockname()[1], key_interval=8, **SMALL | {"framerate": 5})
        # Each is a latent frame: 1, 4 and 3 frames of a segment. The first ones come while the network starts.
        arrivals = [(receiver.recv(2048), time.monotonic()) for _ in range(18)][6:]
    late = [now - int.from_bytes(packet[4:8], "big") / 90_000 for packet, now in arrivals]
    # A segment start is ready three frames of 200 ms earlier.
    assert max(late) - min(late) < 0.3
    service.remove("out")


def test_an_error_touches_no_other_camera(service: Service) -> None:
    service.add(name="good", port=free_port(), **SMALL)
    with socket.socket() as closed:
        # Nobody listens there.
        closed.bind(("127.0.0.1", 0))
        service.add(name="bad", source=f"rtsp://user:secret@127.0.0.1:{closed.getsockname()[1]}/x", port=free_port())
        service.add(name="once", model="/no/such/model", port=free_port(), restart="never")
        cameras = service.wait(lambda cameras: cameras["bad"]["restarts"] >= 2 and cameras["once"]["state"] == "failed")
    assert "onnect" in cameras["bad"]["error"]
    assert "/no/such/model" in cameras["once"]["error"] and cameras["once"]["restarts"] == 0
    assert "secret" not in str(cameras)
    before = cameras["good"]["frames"]
    cameras = service.wait(lambda cameras: cameras["good"]["frames"] >= before + 30)
    assert (cameras["good"]["error"], cameras["good"]["restarts"]) == ("", 0)
    for name in ("good", "bad", "once"):
        service.remove(name)


def test_a_file_with_sound_plays_at_its_own_speed_and_ends(service: Service, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    inputs = "-f lavfi -i testsrc2=s=64x48:r=25 -f lavfi -i sine -t 2"
    subprocess.run(["ffmpeg", "-v", "error", *inputs.split(), str(clip)], check=True, timeout=PATIENCE)
    began = time.monotonic()
    service.add(name="clip", source=clip.as_uri(), file="clip.vidtok")
    cameras = service.wait(lambda cameras: cameras["clip"]["state"] != "starting" and cameras["clip"]["frames"] >= 50)
    # The last group leaves when the last frame has come, 1.96 s behind the first one.
    assert time.monotonic() - began >= 1.9
    cameras = service.wait(lambda cameras: cameras["clip"]["state"] == "ended")
    assert (cameras["clip"]["frames"], cameras["clip"]["error"], cameras["clip"]["restarts"]) == (50, "", 0)
    service.remove("clip")
    assert (service.output / "clip.vidtok").stat().st_size >= 50 / 4 * 8 * 6 * 15 / 8


def test_adding_and_removing_leaves_nothing_behind(service: Service) -> None:
    def turn() -> None:
        port = free_port()
        service.add(name="in", kind="receive", port=port)
        service.add(name="out", port=port, **SMALL)
        service.wait(lambda cameras: all(camera["frames"] >= 5 for camera in cameras.values()))
        for name in ("in", "out"):
            service.remove(name)

    for _ in range(5):
        turn()
    memory, threads = service.resident_kb(), service.threads()
    for _ in range(15):
        turn()
    assert service.threads() <= threads
    # A pipeline of its own would leave several megabytes.
    assert service.resident_kb() <= memory + 2048


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "says"),
    [
        ("POST", "/cameras", {"name": "a"}, {}, 400, "either a port or a file"),
        ("POST", "/cameras", {"name": "../a", "port": 1}, {}, 400, "name must be"),
        ("POST", "/cameras", {"name": "a", "port": "1"}, {}, 400, "of the type int"),
        ("POST", "/cameras", {"name": "a", "port": True}, {}, 400, "of the type int"),
        ("POST", "/cameras", {"name": "a", "port": 1, "colour": 2}, {}, 400, "no setting 'colour'"),
        ("POST", "/cameras", {"name": "a", "file": "/etc/passwd"}, {}, 400, "without a folder"),
        ("POST", "/cameras", {"name": "a", "port": 1, "source": "http://x/"}, {}, 400, "source must be"),
        ("POST", "/cameras", {"name": "a", "port": 1, "width": 15, "height": 64}, {}, 400, "at least 16 pixels"),
        ("POST", "/cameras", [], {}, 400, "object"),
        ("POST", "/cameras", {"name": "a" * 70_000}, {}, 413, "at most"),
        # What a page in a browser could send.
        ("POST", "/cameras", {"name": "a", "port": 1}, {"Content-Type": "text/plain"}, 415, "application/json"),
        ("GET", "/cameras", None, {"Host": "pages.example"}, 403, "loopback"),
        ("GET", "/", None, {}, 404, "/metrics"),
        ("DELETE", "/cameras/nobody", None, {}, 404, "no camera nobody"),
    ],
)
def test_what_cannot_be_is_refused(
    service: Service, method: str, path: str, body: object, headers: dict[str, str], status: int, says: str
) -> None:
    found, text = service.call(method, path, body, **headers)
    assert found == status
    assert says in json.loads(text)["error"]
    assert service.cameras() == {}


def test_a_name_is_taken_once(service: Service) -> None:
    service.add(name="one", port=free_port(), **SMALL)
    status, text = service.call("POST", "/cameras", {"name": "one", "port": free_port()})
    assert status == 409 and "remove it first" in text
    status, text = service.call("POST", "/cameras", {"name": "two", "file": "taken.vidtok"} | SMALL)
    assert status == 201
    status, text = service.call("POST", "/cameras", {"name": "three", "file": "taken.vidtok"})
    assert status == 409 and "camera two writes the file" in text
    for name in ("one", "two"):
        service.remove(name)


def test_two_receivers_do_not_share_a_port(service: Service) -> None:
    port = free_port()
    service.add(name="first", kind="receive", port=port)
    # Who asks for the port himself could be in its way.
    service.wait(lambda _: f":{port:04X} " in Path("/proc/net/udp").read_text("ascii"))
    service.add(name="second", kind="receive", port=port, restart="never")
    cameras = service.wait(lambda cameras: cameras["second"]["state"] == "failed")
    assert "already in use" in cameras["second"]["error"] and cameras["first"]["error"] == ""
    for name in ("first", "second"):
        service.remove(name)


def has_ended(path: Path) -> bool:
    """Whether an end mark is the last thing in a file of tokens: a stream header with the key `end`."""
    return b'"end":{' in path.read_bytes()[-1024:].rpartition(b"\x89VTS")[2]


def test_a_file_of_tokens_is_whole_when_its_camera_is_removed_or_the_service_ends(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        for name in ("removed", "left"):
            service.add(name=name, file=f"{name}.vidtok", key_interval=0, **SMALL)
        service.wait(lambda cameras: all(camera["frames"] >= 10 for camera in cameras.values()))
        service.remove("removed")
        assert has_ended(service.output / "removed.vidtok")
        assert not has_ended(service.output / "left.vidtok")
    assert has_ended(service.output / "left.vidtok")


def test_a_camera_that_is_started_again_keeps_what_it_wrote(service: Service, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    make = "ffmpeg -v error -f lavfi -i testsrc2=s=64x48:r=25 -frames:v 5"
    subprocess.run([*make.split(), str(clip)], check=True, timeout=PATIENCE)
    service.add(name="again", source=clip.as_uri(), file="again.vidtok", restart="always")
    service.wait(lambda cameras: cameras["again"]["frames"] >= 10)
    service.remove("again")
    assert len(read(service.output / "again.vidtok").pts) >= 10


def test_many_clients_at_once_are_answered(service: Service) -> None:
    def turn(number: int) -> tuple[int, int]:
        camera = {"name": f"at-once-{number}", "port": 40_000 + number} | SMALL
        return service.call("POST", "/cameras", camera)[0], service.call("DELETE", f"/cameras/{camera['name']}")[0]

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(turn, range(20))) == {(201, 200)}
    assert service.cameras() == {}


def test_json_that_python_does_not_read_is_refused(service: Service) -> None:
    for body in (b'{"port": ' + b"9" * 5000 + b"}", b"[" * 60_000, b"\xff", b""):
        request = urllib.request.Request(service.address + "/cameras", body, {"Content-Type": "application/json"})
        with pytest.raises(urllib.error.HTTPError) as found:
            urllib.request.urlopen(request, timeout=PATIENCE)
        assert found.value.code == 400 and b"no JSON" in found.value.read()


def test_a_service_whose_port_is_taken_starts_no_camera(tmp_path: Path) -> None:
    cameras = tmp_path / "cameras.json"
    cameras.write_text(json.dumps({"cameras": [{"name": "a", "file": "a.vidtok"}]}))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        command = [PYTHON, str(FOLDER / "service.py"), f"--port={taken.getsockname()[1]}", f"--output={tmp_path}"]
        done = subprocess.run(
            [*command, str(cameras)], env=environment(tmp_path), timeout=PATIENCE, capture_output=True, text=True
        )
    assert done.returncode == 1 and "in use" in done.stderr
    assert not (tmp_path / "a.vidtok").exists()


def test_the_example_of_a_file_is_right() -> None:
    assert [camera.name for camera in read_file(FOLDER / "cameras.toml")] == ["door", "yard", "door-received"]


def test_a_wrong_file_says_where(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    path.write_text(json.dumps({"cameras": [{"name": "a", "port": 1}, {"name": "b", "port": 1, "kind": "both"}]}))
    with pytest.raises(SettingsError, match="camera 2: kind must be send or receive"):
        read_file(path)
    path.write_text("{")
    with pytest.raises(SettingsError, match="cameras.json"):
        read_file(path)


def test_a_password_is_not_shown() -> None:
    camera = Settings.of({"name": "a", "port": 1, "source": "rtsp://user:secret@10.0.0.1/1"})
    assert camera.public()["source"] == "rtsp://…@10.0.0.1/1"
    assert without_password("no rtsp://user:se@cret@10.0.0.1/1, write a@b") == "no rtsp://…@10.0.0.1/1, write a@b"


def test_pauses_grow_and_begin_anew() -> None:
    backoff = Backoff(first=1, most=5, enough=60)
    assert [backoff.wait(0) for _ in range(4)] == [1, 2, 4, 5]
    assert backoff.wait(60) == 1


GB = 10**9


def test_processors_or_memory_limit() -> None:
    runs = [Run(1, 100, 1 * GB), Run(4, 200, 2.5 * GB)]
    # 0.95 of 200 frames per second are 12.7 streams of 15; each after the first takes half a GB.
    assert (answer(runs, 15, 100 * GB).streams, answer(runs, 15, 100 * GB).limit) == (12, "the processors")
    assert (answer(runs, 15, 3 * GB).streams, answer(runs, 15, 3 * GB).limit) == (5, "memory")
    assert answer(runs, 15, GB // 2).streams == 0
    assert answer([Run(1, 100, GB), Run(2, 200, GB)], 15, 3 * GB).by_memory is None


def test_what_other_programs_take_is_told() -> None:
    # Of two processors, the streams had one and a half, and hold 12: alone they would hold 16.
    assert answer([Run(4, 200, GB, others=0.5, processors=1.5)], 15, 100 * GB).alone == 16
    assert answer([Run(4, 200, GB, others=0.05, processors=1.95)], 15, 100 * GB).alone is None


def test_a_stream_holds_while_it_is_in_time_and_stays_so() -> None:
    assert Live(0.2, [0.1] * 100, 0).fault() is None
    assert Live(0.2, [0.1] * 200 + [5.0], 0).fault() is None
    assert "p99" in str(Live(0.2, [0.1] * 90 + [0.3] * 10, 0).fault())
    assert "3 frames dropped" in str(Live(0.2, [0.1] * 100, 3).fault())
    assert "later and later" in str(Live(0.2, [0.1 + i / 1000 for i in range(90)], 0).fault())
    assert "nothing" in str(Live(0.2, [], 0).fault())


@pytest.mark.parametrize(("said", "holds", "right"), [(7, 6, True), (8, 6, False), (20, 18, True), (20, 17, False)])
def test_an_answer_may_be_15_percent_off(said: int, holds: int, right: bool) -> None:
    assert is_right(said, holds) == right


@pytest.mark.parametrize("wrong", ["--seconds=nan", "--threads=-1", "--video=15x64", "--fps=0", "--in-phase"])
def test_capacity_refuses_what_it_cannot_measure(tmp_path: Path, wrong: str) -> None:
    command = [PYTHON, str(FOLDER / "capacity.py"), wrong]
    done = subprocess.run(command, env=environment(tmp_path), timeout=PATIENCE, capture_output=True, text=True)
    assert done.returncode == 2 and "error:" in done.stderr


def in_service_folder(lines: str, tmp_path: Path) -> str:
    """What Python lines print that use the programs' modules."""
    begin = (
        "import gi; gi.require_version('Gst', '1.0'); from gi.repository import Gst; Gst.init(None)\nimport streams\n"
    )
    load = "load = streams.Load('encode', 64, 64, 25, 'raw', '', '', 1, in_phase=True)\n"
    command = [PYTHON, "-c", begin + load + lines]
    done = subprocess.run(
        command, cwd=FOLDER, env=environment(tmp_path), timeout=PATIENCE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_capacity_does_not_wait_for_ever(tmp_path: Path) -> None:
    lines = """
streams.PATIENCE, streams.FullSpeed.frames = 0.1, lambda stream: 0
try:
    streams.at_full_speed(load, 2, 1, None)
except streams.Broken as error:
    print(error)
"""
    assert "2 of 2 streams at full speed gave no frame within 0.1 s: take" in in_service_folder(lines, tmp_path)


def test_cameras_in_phase_start_a_multiple_of_16_frames_apart(tmp_path: Path) -> None:
    lines = """
import time
for (pause, base_time), _ in zip(streams.starts(load), range(4)):
    print(base_time, Gst.SystemClock.obtain().get_time())
    time.sleep(pause)
"""
    starts = [[int(word) for word in line.split()] for line in in_service_folder(lines, tmp_path).splitlines()]
    # Of 40 ms each; and none before the streams are made.
    assert all((base_time - starts[0][0]) % (16 * 40_000_000) == 0 for base_time, _ in starts)
    assert all(-1_000_000 < base_time - made < 16 * 40_000_000 for base_time, made in starts)


def test_capacity_answers(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [PYTHON, str(FOLDER / "capacity.py"), "--role=both", "--video=128x128", "--fps=60", "--seconds=0.5"]
    done = subprocess.run(
        [*command, f"--json={figures}"], env=environment(tmp_path), timeout=PATIENCE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text("utf-8"))
    assert all(run["frames_per_second"] > 0 for run in found["runs"])
    assert found["answer"]["by_processors"] == int(0.95 * found["runs"][-1]["frames_per_second"] / 60)
    assert f"This machine holds {found['answer']['streams']} streams" in done.stdout
