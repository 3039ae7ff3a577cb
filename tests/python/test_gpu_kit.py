"""The kit for GPUs: its pure parts, and a kit with programs that only pretend."""

import json
import random
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "gpu-kit"
sys.path.insert(0, str(KIT))

from gpukit import clips, elf, libraries, nvml, pack, packages, parts, pieces, results, runner, trace, training  # noqa: E402
from gpukit.kit import Kit, needs_own_loader  # noqa: E402


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that do not compress, in folders, one of them a program."""
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "er" / "noise").write_bytes(random.Random(1).randbytes(25_000))
    (source / "program").write_text("#!/bin/sh\necho works\n")
    (source / "program").chmod(0o755)
    return source


def packed(source: Path, to: Path, size: int = 10_000) -> dict:
    to.mkdir()
    archives = {"kit": pieces.split_folder(source, to, "kit", size)}
    pieces.write_list(to, archives, {"kit": pieces.fingerprint(source, size)})
    return archives


def test_pieces_are_joined_by_the_file_beside_them(folder, tmp_path):
    out, back = tmp_path / "pieces", tmp_path / "back"
    made = packed(folder, out)["kit"]
    assert [piece["bytes"] for piece in made[:-1]] == [10_000] * (len(made) - 1) and len(made) == 3
    (out / "join.py").write_text((KIT / "gpukit" / "pieces.py").read_text())
    subprocess.run([sys.executable, out / "join.py", "--to", back], check=True, stdout=subprocess.PIPE)
    assert (back / "deep/er/noise").read_bytes() == (folder / "deep/er/noise").read_bytes()
    assert subprocess.check_output([back / "program"], text=True) == "works\n"


def test_what_is_missing_or_damaged_is_named(folder, tmp_path):
    out = tmp_path / "pieces"
    made = packed(folder, out)["kit"]
    first, second, third = (out / piece["file"] for piece in made)
    first.unlink()
    second.write_bytes(second.read_bytes()[:-1] + b"!")
    third.write_bytes(third.read_bytes() + b"more")
    with pytest.raises(pieces.PiecesError) as error:
        pieces.join_folder(out, tmp_path / "back")
    for text in (f"{first.name} is missing", f"{second.name} is damaged", f"{third.name} has"):
        assert text in str(error.value)
    assert not (tmp_path / "back").exists()


def test_a_file_comes_back_from_its_pieces(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(random.Random(2).randbytes(2_500))
    out = tmp_path / "out"
    out.mkdir()
    made = pieces.split_file(path, out, 1_000)
    assert [piece["bytes"] for piece in made] == [1_000, 1_000, 500]
    pieces.join_file(out, made, tmp_path / "back.pt")
    assert (tmp_path / "back.pt").read_bytes() == path.read_bytes()


def test_the_same_is_not_packed_again(folder, tmp_path):
    out = tmp_path / "pieces"
    made = packed(folder, out)["kit"]
    same = pieces.fingerprint(folder, 10_000)
    assert pieces.packed_before(out, "kit", same) == made
    (folder / "deep" / "new").write_text("")
    assert pieces.packed_before(out, "kit", pieces.fingerprint(folder, 10_000)) is None
    (out / made[1]["file"]).unlink()
    assert pieces.packed_before(out, "kit", same) is None


def test_what_files_need_is_read_of_listings():
    symbols = "(GLIBC_2.2.5) malloc\n(GLIBC_2.34) dlopen\n(GLIBC_2.9) x\n(GLIBCXX_3.4.30) y\n"
    assert elf.newest(symbols) == (2, 34)
    assert elf.newest(symbols, "GLIBCXX") == (3, 4, 30)
    assert elf.newest("nothing") == ()
    dynamic = (
        " 0x1 (NEEDED)             Shared library: [libcublas.so.13]\n 0x1d (RUNPATH) Library runpath: [$ORIGIN]\n"
    )
    assert elf.needed(dynamic) == ["libcublas.so.13"]
    listing = (
        "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibglib-2.0.so.0 => /usr/lib/libglib-2.0.so.0 (0x00007f)\n"
        "\tlibx.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n"
    )
    assert elf.resolved(listing) == {
        "libglib-2.0.so.0": "/usr/lib/libglib-2.0.so.0",
        "ld-linux-x86-64.so.2": "/lib64/ld-linux-x86-64.so.2",
    }


def test_the_kit_s_loader_is_for_older_c_libraries():
    assert not needs_own_loader(("glibc", "2.36"), (2, 34))
    assert not needs_own_loader(("glibc", "2.34"), (2, 34))
    assert needs_own_loader(("glibc", "2.31"), (2, 34))
    assert needs_own_loader(("", ""), (2, 34))


def test_libraries_are_found_in_python_s_packages(tmp_path):
    site = tmp_path / "site-packages"
    for name in ("nvidia/cu13/lib/libcublas.so.13", "nvidia/cudnn/lib/libcudnn.so.9", "tensorrt_libs/libnvinfer.so.10"):
        (site / name).parent.mkdir(parents=True)
        (site / name).write_text("")
    folders = libraries.package_folders([str(tmp_path), str(site)])
    assert folders == [site / "nvidia/cu13/lib", site / "nvidia/cudnn/lib", site / "tensorrt_libs"]
    assert libraries.locate("libcudnn.so.9", folders) == site / "nvidia/cudnn/lib"
    assert libraries.locate("libcudart.so.13", folders) is None
    found = {"libcublas.so.13": folders[0], "libcudart.so.13": None, "libcurand.so.10": None}
    assert libraries.missing(found) == "not found: libcudart.so.13, libcurand.so.10"
    assert libraries.missing({"libcublas.so.13": folders[0]}) is None
    # What belongs together comes first, and the system's own last.
    system = Path("/usr/lib/x86_64-linux-gnu")
    assert libraries.search_path([system, folders[1], None, folders[1]], folders) == [
        folders[1],
        folders[0],
        folders[2],
        system,
    ]
    assert libraries.search_path([system], folders) == [system]


def test_a_library_of_this_process_is_found_by_its_file():
    maps = "7f00-7f01 r--p 0 fe:00 12   /usr/lib/nvidia/libcuda.so.580.1\n7f02-7f03 rw-p 0 00:00 0\n"
    assert libraries.mapped("libcuda.so.1", maps) == Path("/usr/lib/nvidia")
    assert libraries.mapped("libcudart.so.13", maps) is None


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("numpy-2.4.6-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl", True),
        ("numpy-2.4.6-cp313-cp313-manylinux_2_27_x86_64.whl", False),
        ("numpy-2.4.6-cp312-cp312-manylinux_2_27_aarch64.whl", False),
        ("onnx-1.23.2-cp310-abi3-manylinux_2_27_x86_64.whl", True),
        ("onnx-1.23.2-cp313-abi3-manylinux_2_27_x86_64.whl", False),
        ("onnx_ir-1.1.0-py3-none-any.whl", True),
        ("six-1.0-py2.py3-none-any.whl", True),
        ("old-1.0-py2-none-any.whl", False),
    ],
)
def test_wheels_are_told_apart_by_their_names(wheel, fits):
    assert packages.fits(wheel, (3, 12), "x86_64") is fits


def record(case: str, status: str, **more: object) -> dict:
    return {"case": case, "provider": "cuda", "status": status, "seconds": 1.0} | more


def test_results_survive_a_cut_line(tmp_path):
    results.append(tmp_path, record("a", "ok", text="1"))
    with (tmp_path / results.LINES).open("a") as file:
        file.write('{"case": "b", "sta')
    assert [found["case"] for found in results.read(tmp_path)] == ["a"]
    # Nor does the line take the next one along.
    results.append(tmp_path, record("c", "ok"))
    assert [found["case"] for found in results.read(tmp_path)] == ["a", "c"]


def test_a_good_result_is_kept_beside_later_failures():
    records = [
        record("a", "failed", reason="first"),
        record("a", "ok", text="good"),
        record("a", "failed", reason="later"),
        record("b", "lacking", reason="x"),
        record("b", "failed", reason="y"),
    ]
    merged = results.merge(records)
    assert merged["a"]["text"] == "good" and merged["b"]["reason"] == "y"


def test_tables():
    speed = {"table": "speed", "row": ["cuda", "ch128", "fp16", "1"]}
    records = [
        record("compare/x/fp32", "ok", table="hardware", what="x, 64×64", text="fp32: all 20 tokens"),
        record("compare/x/fp16", "ok", table="hardware", what="x, 64×64", text="fp16: 3 of 20 tokens differ"),
        record("t/e", "ok", **speed, role="encoder", **{"ms-per-frame": 1.25, "gpu-mib": 1000.0}),
        record("t/d", "ok", **speed, role="decoder", **{"ms-per-frame": 1.5, "gpu-mib": None}),
        record("u", "failed", reason="no memory"),
        record("v", "lacking", reason="no memory"),
    ]
    text = results.markdown(records, {"onnxruntime": "1.31.1", "gpu": "A GPU", "driver": "580.1", "cpu": "A CPU"})
    assert (
        "| `cuda` | x, 64×64 | 1.31.1 | A GPU, driver 580.1 | fp32: all 20 tokens; fp16: 3 of 20 tokens differ |"
        in text
    )
    assert "| cuda | ch128 | fp16 | 1 | 1.25 | 1.50 | 2.75 | 1,000/– |" in text
    assert "- u, v: no memory" in text


def test_the_line_that_says_why_is_found():
    assert runner.best_reason(["Error: a library is missing", "core dumped"]) == "Error: a library is missing"
    assert runner.best_reason(["Traceback", "ValueError: no"]) == "ValueError: no"
    assert runner.best_reason(["first", "last"]) == "last"
    assert runner.best_reason([]) == "it said nothing"


def test_a_profile_is_summed_up_by_operator():
    events = [
        {"cat": "Node", "name": "c1_kernel_time", "dur": 2000, "args": {"op_name": "Conv", "provider": "CUDA"}},
        {"cat": "Node", "name": "c1_fence_before", "dur": 900, "args": {"op_name": "Conv"}},
        {"cat": "Node", "name": "c2_kernel_time", "dur": 4000, "args": {"op_name": "Conv", "provider": "CUDA"}},
        {"cat": "Kernel", "name": "gemm", "dur": 8000, "args": {}},
        {"cat": "Session", "name": "model_run", "dur": 9000},
    ]
    found = trace.summary(events, runs=2)
    assert found["nodes-ms"] == {"Conv": 3.0} and found["kernels-ms"] == {"gemm": 4.0}
    assert found["node-runs-by-provider"] == {"CUDA": 1}


def test_footage_fits_a_budget():
    # Frames as they are, then fewer of each, then fewer clips.
    assert clips.fit([100, 50], [1000, 1000], 2000, least=10) == [100, 50]
    fewer = clips.fit([100, 50], [1000, 1000], 1000, least=10)
    assert fewer[0] < 50 and fewer[0] == fewer[1] and sum(n * 10 * (1 + i) for i, n in enumerate(fewer)) <= 1000
    assert clips.fit([100, 100], [1000, 1000], 100, least=10) == [10, 0]
    assert clips.fit([100, 9], [1000, 10], 5000, least=10) == [100, 0]
    assert clips.scaled(1920, 1080, 192) == (342, 192)
    assert clips.scaled(100, 60, 192) == (100, 60)


def test_sizes_are_read_of_what_gstreamer_prints():
    said = (
        "/GstPipeline:p/GstVideoConvert:v.GstPad:src: caps = video/x-raw, width=(int)8, height=(int)4\n"
        "/GstPipeline:p/GstFakeSink:sink.GstPad:sink: caps = video/x-raw, width=(int)320, height=(int)240, x=(int)1\n"
    )
    assert clips.sizes(said) == (320, 240)
    assert clips.sizes("nothing") is None


def test_a_file_that_gives_no_picture_is_left_out(tmp_path, capsys):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "words.jpg").write_text("no picture")
    assert clips.collect([tmp_path / "from"], tmp_path / "to", 1) == (0, 0)
    assert "words.jpg: left out" in capsys.readouterr().err
    assert not any((tmp_path / "to").rglob("*.jpg"))


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """A kit without programs."""
    root = tmp_path / "kit"
    (root / "bin").mkdir(parents=True)
    wanted = {"cuda": ["libcublas.so.13"], "tensorrt": ["libnvinfer.so.10"]}
    (root / "manifest.json").write_text(json.dumps({"glibc": "2.17", "libraries": wanted}))
    return Kit(root, tmp_path / "results", provider="cpu")


def program(kit: Kit, name: str, script: str) -> None:
    path = kit.root / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def case(name: str, seconds: float = 0, limit: float = 30) -> runner.Case:
    def run(context: runner.Context) -> dict:
        result = context.json(context.kit.command(name))
        return {"result": result, "text": f"found {result['value']}"}

    return runner.Case(name, run, seconds, limit)


def test_cases_go_on_where_they_were(kit):
    program(kit, "good", 'echo runs >>"$HOME/count"; echo noise; echo \'{"value": 3}\'')
    program(kit, "bad", "echo 'Error: no such device' >&2; exit 3")
    program(kit, "silent", "exit 0")
    program(kit, "late", "echo '{\"value\": 5}'; kill -SEGV $$")
    said: list[str] = []
    cases = [case("good"), case("bad"), case("silent"), case("late"), case("long", seconds=1000)]
    assert not runner.run(kit, cases, 60, say=said.append)
    merged = results.merge(results.read(kit.results))
    assert merged["good"]["result"] == {"value": 3} and merged["good"]["text"] == "found 3"
    assert merged["bad"]["reason"] == "Error: no such device (exit 3)"
    assert "no such device" in (kit.logs / "bad.log").read_text()
    assert merged["silent"]["reason"] == "silent printed no JSON"
    # What was found out before a program died counts.
    assert merged["late"]["status"] == "ok" and merged["late"]["result"] == {"value": 5, "exit": -11}
    assert "long" not in merged and "left for the next call" in said[-1] and "long" in said[-1]
    # Neither what was found out nor what failed runs again, unless that is asked for.
    assert runner.run(kit, cases[:3], 60, say=said.append)
    program(kit, "bad", "echo '{\"value\": 4}'")
    runner.run(kit, cases[:3], 60, again=True, say=said.append)
    assert results.merge(results.read(kit.results))["bad"]["status"] == "ok"
    assert (kit.work / "count").read_text() == "runs\n"


def test_a_program_that_hangs_is_ended(kit):
    program(kit, "hangs", "exec sleep 60")
    said: list[str] = []
    runner.run(kit, [case("hangs", limit=1)], 60, say=said.append)
    assert results.read(kit.results)[0]["reason"] == "took longer than 1 s"


def test_nothing_of_a_program_stays(kit, monkeypatch):
    monkeypatch.setattr(runner, "GRACE", 0.5)
    # A child that its program does not wait for, and one that ignores the request to end.
    program(kit, "leaves", "sleep 60 & echo $! >$HOME/left; echo '{\"value\": 1}'; exit 0")
    program(kit, "ignores", "trap '' TERM; echo $$ >$HOME/ignored; while :; do sleep 0.1; done")
    said: list[str] = []
    runner.run(kit, [case("leaves", limit=1)], 60, say=said.append)
    context = runner.Context(kit, case("ignores", limit=1), time.monotonic() + 60)
    with pytest.raises(runner.Failed):
        context.json(kit.command("ignores"))
    for name in ("left", "ignored"):
        process = (kit.work / name).read_text().strip()
        stat_of = Path(f"/proc/{process}/stat")
        # Gone, or ended and not collected yet.
        assert not stat_of.exists() or stat_of.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_what_was_lacking_is_looked_for_again(kit):
    there: list[bool] = []

    def run(context: runner.Context) -> dict:
        if not there:
            raise runner.Lacking("a library")
        return {"text": "there"}

    said: list[str] = []
    lacking = runner.Case("lacking", run, 0)
    runner.run(kit, [lacking], 60, say=said.append)
    there.append(True)
    runner.run(kit, [lacking], 60, say=said.append)
    assert [found["status"] for found in results.read(kit.results)] == ["lacking", "ok"]


def test_a_part_that_cannot_even_begin_costs_no_other(kit, monkeypatch):
    def breaks(kit: Kit) -> str | None:
        raise ValueError("a wheel is cut")

    done = parts.Part(lambda provider: [runner.Case("done", lambda context: {"text": "done"}, 0)], lambda kit: None)
    monkeypatch.setattr(parts, "PARTS", {"broken": parts.Part(lambda provider: [], breaks), "whole": done})
    said: list[str] = []
    assert not parts.run(kit, ["broken", "whole"], 60, False, said.append)
    merged = results.merge(results.read(kit.results))
    assert "a wheel is cut" in merged["broken"]["reason"] and merged["done"]["status"] == "ok"


def test_a_checkpoint_is_packed_as_it_is_now(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "PIECE_BYTES", 4)
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / training.CHECKPOINT).write_bytes(b"older..")
    training.split(folder)
    # Its case was ended before it could split what the trainer had saved.
    (folder / training.CHECKPOINT).write_bytes(b"newer")
    pack.pack(tmp_path, tmp_path / "back")
    again = tmp_path / "again"
    again.mkdir()
    for path in (tmp_path / "back").glob("*"):
        (again / path.name).write_bytes(path.read_bytes())
    training.resume(again)
    assert (again / training.CHECKPOINT).read_bytes() == b"newer"


def test_a_driver_that_does_not_tell_of_memory_costs_nothing():
    class Silent:
        def memory(self) -> tuple[int, int]:
            raise OSError("not permitted")

    with nvml.Peak(Silent()) as peak:
        pass
    assert peak.mib is None


def test_what_the_time_ends_is_for_the_next_call(kit):
    program(kit, "hangs", "exec sleep 60")
    said: list[str] = []
    assert runner.run(kit, [case("hangs")], runner.RESERVE + 1, say=said.append)
    assert results.read(kit.results) == [] and "hangs" in said[-1]


def test_the_command_line(tmp_path):
    """A kit of nothing but scripts: a part says in one line what is missing, and the results are packed."""
    root = tmp_path / "kit"
    (root / "project" / "benches").mkdir(parents=True)
    (root / "project" / "benches" / "machine.py").write_text((ROOT / "benches" / "machine.py").read_text())
    (root / "kit.py").write_text((KIT / "kit.py").read_text())
    (root / "gpukit").symlink_to(KIT / "gpukit")
    wanted = {"cuda": ["libno-such-thing.so.13"], "tensorrt": ["libno-such-engine.so.10"]}
    (root / "manifest.json").write_text(json.dumps({"glibc": "2.17", "onnxruntime": "1", "libraries": wanted}))

    def call(*words: object, status: int = 0) -> str:
        command = [sys.executable, root / "kit.py", "--results", tmp_path / "results", *words]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        assert done.returncode == status
        return done.stdout

    said = call("run", "speed", "tensorrt", "training")
    assert "speed: cuda: not found: libno-such-thing.so.13" in said
    assert "tensorrt: cuda: not found: libno-such-thing.so.13" in said
    assert "training: the kit has no clips" in said
    # One case tries what has been found missing: here there is no program.
    said = call("run", "check", "--budget", 60, status=1)
    assert "ok      machine" in said and "failed  compare/built-in" in said and "lacking pipeline" in said
    assert call("pack", "--to", tmp_path / "packed").split() == [
        "logs.tar.xz",
        "results.json",
        "results.jsonl",
        "results.md",
    ]
    whole = json.loads((tmp_path / "packed" / "results.json").read_text())
    assert whole["machine"]["cpu"] and {case["case"] for case in whole["cases"]} >= {"speed", "tensorrt", "training"}
    assert "libno-such-thing.so.13" in (tmp_path / "packed" / "results.md").read_text()


def test_programs_get_the_kit_s_libraries_and_python_does_not(kit, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/theirs/lib")
    programs = kit.environment()["LD_LIBRARY_PATH"].split(":")
    assert programs[:2] == [str(kit.root / "lib"), str(kit.root / "ort")] and programs[-1] == "/theirs/lib"
    python = kit.python_environment(Path("/more"), MODE="x")
    assert python["LD_LIBRARY_PATH"] == "/theirs/lib" and python["MODE"] == "x"
    assert python["PYTHONPATH"].startswith(f"{kit.root}:") and python["PYTHONPATH"].endswith(":/more")
    monkeypatch.delenv("LD_LIBRARY_PATH")
    assert "LD_LIBRARY_PATH" not in kit.python_environment()


def test_an_older_c_library_gets_the_kit_s_loader(kit):
    assert kit.command("probe") == [str(kit.root / "bin" / "probe")]
    (kit.root / "manifest.json").write_text(json.dumps({"glibc": "99.0", "libraries": {"cuda": []}}))
    older = Kit(kit.root, kit.results)
    loader, option, path, *rest = older.command("probe")
    assert loader == str(kit.root / "loader" / "ld-linux-x86-64.so.2") and option == "--library-path"
    assert path.split(":")[:2] == [str(kit.root / "loader"), str(kit.root / "lib")]
    assert rest == ["--argv0", str(kit.root / "bin/probe"), str(kit.root / "bin/probe")]
    # It would load the kit's C library into this machine's other programs.
    assert "LD_LIBRARY_PATH" not in older.environment() or str(kit.root) not in older.environment()["LD_LIBRARY_PATH"]
