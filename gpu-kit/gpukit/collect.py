"""Collects the kit's files on the preparing machine and packs them: `prepare.sh` runs it when everything is built."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import clips, elf, pieces

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parents[1]
PROGRAMS = ("gst-launch-1.0", "gst-inspect-1.0")
PLUGINS = ("coreelements", "app", "typefindfunctions", "videotestsrc", "videoconvertscale")
# Of the checkout, what the kit's parts run.
PROJECT = ("benches/*.py", "models/*.py", "models/*.json", "models/vidtok_export/*", "models/training/*")
PROJECT += ("tests/data/recipe.py", "tests/python/golden.py", "LICENSE")
# Loaded while it runs, so that it is not in the list of what ONNX Runtime's CUDA provider needs.
LOADED_LATER = "libcudnn.so.9"
NVIDIA = ("libcu", "libnv")


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    stages = {name: options.work / name for name in ("runtime", "project")}
    for stage in stages.values():
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
    collect_runtime(stages["runtime"], options)
    collect_project(stages["project"], options)
    write_manifest(stages, options)
    archives = pack(stages, options.out, int(options.piece_megabytes * 1e6))
    shutil.copy(HERE / "gpukit" / "pieces.py", options.out / "join.py")
    for piece in (piece for made in archives.values() for piece in made):
        print(f"{piece['bytes'] / 1e6:7.1f} MB  {piece['file']}")
    print(f"{options.out}: copy all of it, then run `python3 join.py --to FOLDER` there")


def pack(stages: dict[str, Path], out: Path, size: int) -> dict[str, list[dict[str, Any]]]:
    """Write each stage as an archive in pieces, unless it is there already."""
    contents = {name: pieces.fingerprint(stage, size) for name, stage in stages.items()}
    archives = {name: pieces.packed_before(out, name, contents[name]) for name in stages}
    kept = {piece["file"] for made in archives.values() for piece in made or ()}
    for old in out.glob("*.tar.xz.[0-9][0-9]"):
        if old.name not in kept:
            old.unlink()
    for name, stage in stages.items():
        if archives[name] is None:
            archives[name] = pieces.split_folder(stage, out, name, size)
    pieces.write_list(out, archives, contents)
    return archives


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pieces")
    parser.add_argument("--work", type=Path, required=True, help="folder for what goes into them")
    parser.add_argument("--plugin", type=Path, required=True)
    parser.add_argument("--program", type=Path, action="append", default=[], help="a program, without its file's hash")
    parser.add_argument("--onnxruntime", type=Path, required=True, help="folder with its libraries")
    parser.add_argument("--onnxruntime-version", required=True)
    parser.add_argument("--wheels", type=Path, help="folder with Python packages")
    parser.add_argument("--clips", type=Path, action="append", default=[], help="a folder of videos and photographs")
    parser.add_argument("--clip-megabytes", type=float, default=60.0)
    parser.add_argument("--piece-megabytes", type=float, default=60.0)
    parser.add_argument("--vidtok", type=Path, help="a checkout of microsoft/VidTok")
    parser.add_argument("--profile", required=True, help="what Cargo built with")
    return parser.parse_args()


def collect_runtime(stage: Path, options: argparse.Namespace) -> None:
    """GStreamer, ONNX Runtime, the C library, Python packages."""
    shutil.copytree(options.onnxruntime, stage / "ort")
    if options.wheels:
        shutil.copytree(options.wheels, stage / "wheels")
    binaries = stage / "bin"
    binaries.mkdir()
    for name in PROGRAMS:
        shutil.copy(found(name), binaries / name)
    plugins = stage / "lib" / "gstreamer-1.0"
    plugins.mkdir(parents=True)
    source = Path(elf.run("pkg-config", "--variable=pluginsdir", "gstreamer-1.0").strip())
    for name in PLUGINS:
        shutil.copy(source / f"libgst{name}.so", plugins)
    files = [options.plugin, *options.program, *binaries.iterdir(), *plugins.iterdir()]
    # Of ONNX Runtime the library alone: its providers need what the target has.
    files += options.onnxruntime.glob("libonnxruntime.so*")
    copy_libraries(files, stage)


def copy_libraries(files: Iterable[Path], stage: Path) -> None:
    """All libraries that the files need, by the names that they are asked for by."""
    (stage / "loader").mkdir()
    wanted: dict[str, str] = {}
    for file in files:
        wanted |= elf.libraries(file)
    for name, path in sorted(wanted.items()):
        shutil.copy(path, stage / ("loader" if name in elf.C_LIBRARY else "lib") / name)


def collect_project(stage: Path, options: argparse.Namespace) -> None:
    """What is built from the checkout, and what the parts run."""
    for name in ("bin", "plugin"):
        (stage / name).mkdir()
    for program in options.program:
        # Cargo puts a hash behind the names of some.
        copied = stage / "bin" / program.name.split("-")[0]
        shutil.copy(program, copied)
        strip(copied)
    shutil.copy(options.plugin, stage / "plugin")
    strip(stage / "plugin" / options.plugin.name)
    for pattern in PROJECT:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                copy_to(path, stage / "project" / path.relative_to(ROOT))
    shutil.copy(HERE / "kit.py", stage)
    for name in ("gpukit", "shims"):
        shutil.copytree(HERE / name, stage / name, ignore=shutil.ignore_patterns("__pycache__"))
    if options.vidtok:
        for name in ("vidtok", "LICENSE"):
            source = options.vidtok / name
            if source.is_dir():
                shutil.copytree(source, stage / "vidtok-checkout" / name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                copy_to(source, stage / "vidtok-checkout" / name)
    if options.clips:
        (stage / "clips").mkdir()
        videos, photographs = clips.collect(options.clips, stage / "clips", options.clip_megabytes)
        print(f"{videos} clips, {photographs} photographs")


def write_manifest(stages: dict[str, Path], options: argparse.Namespace) -> None:
    runtime, project = stages["runtime"], stages["project"]
    own = [*(runtime / "bin").iterdir(), *(project / "bin").iterdir(), *(project / "plugin").iterdir()]
    own += [path for path in (runtime / "lib").rglob("*") if path.is_file()]
    own += (runtime / "ort").glob("lib*.so*")
    glibc = elf.glibc_needed(own)
    cuda = nvidia_libraries(runtime / "ort" / "libonnxruntime_providers_cuda.so") + [LOADED_LATER]
    tensorrt = nvidia_libraries(runtime / "ort" / "libonnxruntime_providers_tensorrt.so")
    manifest = {
        "glibc": ".".join(map(str, glibc)),
        "carried-glibc": platform.libc_ver()[1],
        "onnxruntime": options.onnxruntime_version,
        "gstreamer": elf.run("pkg-config", "--modversion", "gstreamer-1.0").strip(),
        "plugin": elf.run("git", "-C", ROOT, "describe", "--always", "--dirty").strip(),
        "profile": options.profile,
        "libraries": {"cuda": cuda, "tensorrt": [name for name in tensorrt if name not in cuda]},
    }
    (project / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def nvidia_libraries(provider: Path) -> list[str]:
    """What a provider's library needs of CUDA, cuDNN, TensorRT and the driver."""
    return [name for name in elf.libraries_needed(provider) if name.startswith(NVIDIA)]


def found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"collect: {program} is not installed")
    return path


def strip(path: Path) -> None:
    """Without what debuggers want, a tenth of the size."""
    subprocess.run(["strip", "--strip-unneeded", path], check=True)


def copy_to(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


if __name__ == "__main__":
    main()
