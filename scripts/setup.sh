# What demo and tests need, set up where it is missing. To be sourced by bash, in the checkout's root; each function can
# be called again and then takes a moment.
#
#   .venv/       Python packages, in the versions that requirements.txt files pin
#   .local/onnxruntime-*/  other builds of ONNX Runtime, for tests
#   .local/lib/  the plugin in gstreamer-1.0/, for GST_PLUGIN_PATH, and ONNX Runtime in onnxruntime/, where the plugin finds it

# The same as in Cargo.toml: rust-version.
MIN_RUST=1.92
MIN_GSTREAMER=1.22
PLUGIN_FOLDER=$PWD/.local/lib/gstreamer-1.0
RUNTIME_FOLDER=$PWD/.local/lib/onnxruntime
# For tests: ONNX Runtime as it is built for NVIDIA's and for Intel's hardware. Tests know which libraries these releases want.
GPU_RUNTIME=onnxruntime-gpu==1.31.1
GPU_RUNTIME_HASH=sha256:05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7
OPENVINO_RUNTIME=onnxruntime-openvino==1.24.1
OPENVINO_RUNTIME_HASH=sha256:d617fac2f59a6ab5ea59a788c3e1592240a129642519aaeaa774761dfe35150e
TARGET_FOLDER=${CARGO_TARGET_DIR:-$PWD/target}
VENV_PYTHON=$PWD/.venv/bin/python

# What runs below this script sends no telemetry, unless the user wants it to: see TELEMETRY_VARIABLE in
# src/runtime/library.rs.
export ORT_DISABLE_TELEMETRY=${ORT_DISABLE_TELEMETRY-1}

# pip takes what is found there for installed, though .venv has it not.
unset PYTHONPATH PYTHONHOME

say() { printf '\n==> %s\n' "$*"; }

fail() {
    printf '\n%s: %s\n' "$0" "$*" >&2
    exit 1
}

# Runs a command in silence; shows what it printed if it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Adds a Debian package to `missing`, unless the command after it works.
want() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# A compiler's linker, GStreamer with its development files and the plugins that files and tests need, Python's venv; and
# the programs that are its arguments, each in a package of its name.
setup_system() {
    local missing=() sudo=()
    want gcc command -v cc
    want libc6-dev test -e /usr/include/stdlib.h
    want pkg-config command -v pkg-config
    want libgstreamer1.0-dev pkg-config --exists gstreamer-1.0
    want libgstreamer-plugins-base1.0-dev pkg-config --exists gstreamer-video-1.0 gstreamer-app-1.0
    want gstreamer1.0-tools command -v gst-launch-1.0
    want gstreamer1.0-plugins-base-apps command -v gst-discoverer-1.0
    want gstreamer1.0-plugins-base gst-inspect-1.0 --exists decodebin
    want gstreamer1.0-plugins-good gst-inspect-1.0 --exists qtdemux
    want gstreamer1.0-plugins-bad gst-inspect-1.0 --exists h264parse
    want gstreamer1.0-plugins-ugly gst-inspect-1.0 --exists x264enc
    want gstreamer1.0-libav gst-inspect-1.0 --exists avdec_h264
    want python3 command -v python3
    want python3-venv python3 -c 'import venv, ensurepip'
    local program
    for program; do
        want "$program" command -v "$program"
    done
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || fail "needs, by their names on Debian: ${missing[*]}"
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo >/dev/null || fail "needs these packages; as root: apt-get install ${missing[*]}"
            sudo=(sudo)
        fi
        say "Installing by apt: ${missing[*]}"
        quietly "${sudo[@]}" apt-get update || fail "apt-get update failed"
        quietly "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
            fail "apt could not install them"
    fi
    pkg-config --atleast-version="$MIN_GSTREAMER" gstreamer-1.0 || fail "needs GStreamer $MIN_GSTREAMER or newer, and this is" \
        "$(pkg-config --modversion gstreamer-1.0): Debian 12, Ubuntu 24.04 or a newer release has it"
}

setup_rust() {
    # Where rustup installs, for shells that were started before it did.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    local found=none
    if command -v cargo >/dev/null; then
        found=$(cargo --version | cut -d ' ' -f 2)
        if [ "$(printf '%s\n' "$MIN_RUST" "$found" | sort -V | head -n 1)" = "$MIN_RUST" ]; then
            return
        fi
    fi
    fail "needs Rust $MIN_RUST or newer (cargo found: $found). Get it by rustup, Rust's own installer:
  - where apt has it (Debian 13, Ubuntu 24.04 and newer):  apt-get install rustup && rustup default stable
  - elsewhere, as its site rustup.rs says
and where rustup is there already:  rustup update stable"
}

# A virtual environment in the checkout, with the packages that are pip's arguments: files of pinned versions with hashes,
# which scripts/lock.sh writes.
setup_python() {
    if ! "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        say "Making a Python environment in .venv"
        quietly python3 -m venv --clear .venv || fail "python3 -m venv failed"
    fi
    quietly "$VENV_PYTHON" -m pip install --disable-pip-version-check --only-binary=:all: --require-hashes "$@" || fail "pip could not install: $*"
}

# ONNX Runtime's library, out of its Python wheel, and NumPy.
setup_onnxruntime() {
    if ! compgen -G "$RUNTIME_FOLDER/libonnxruntime.so*" >/dev/null; then
        say "Getting ONNX Runtime and NumPy by pip"
    fi
    # Only the library is needed, so not the Python packages that it depends on.
    setup_python --no-deps -r scripts/requirements.txt
    local wheel library
    wheel=$("$VENV_PYTHON" -c 'import importlib.util as u; print(u.find_spec("onnxruntime").submodule_search_locations[0])')/capi
    library=$(cd "$wheel" && compgen -G "libonnxruntime.so*")
    if ! cmp -s "$wheel/$library" "$RUNTIME_FOLDER/$library"; then
        rm -rf "$RUNTIME_FOLDER"
        mkdir -p "$RUNTIME_FOLDER"
        cp "$wheel"/libonnxruntime*.so* "$RUNTIME_FOLDER/"
    fi
}

# other_onnxruntime PACKAGE==VERSION HASH: prints the folder with the libraries of another wheel of ONNX Runtime. Not installed, since
# all of its wheels have Python packages of the same name. Fails where it cannot be had.
other_onnxruntime() {
    local folder=$PWD/.local/$1 part=$PWD/.local/$1.part
    if [ ! -d "$folder" ]; then
        say "Getting $1 by pip (up to 256 MB, once)" >&2
        rm -rf "$part"
        mkdir -p "$part" || return
        printf '%s --hash=%s\n' "$1" "$2" >"$part/requirements.txt"
        # For one Python as good as for another: only the libraries are needed.
        quietly "$VENV_PYTHON" -m pip download --disable-pip-version-check --only-binary=:all: --no-deps \
            --python-version 3.12 --require-hashes -d "$part" -r "$part/requirements.txt" || return
        "$VENV_PYTHON" - "$part" <<'PYTHON' || return
import pathlib
import sys
import zipfile

folder = pathlib.Path(sys.argv[1])
[wheel] = folder.glob("*.whl")
with zipfile.ZipFile(wheel) as files:
    for name in files.namelist():
        if name.startswith("onnxruntime/capi/lib") and ".so" in name:
            (folder / pathlib.Path(name).name).write_bytes(files.read(name))
wheel.unlink()
(folder / "requirements.txt").unlink()
PYTHON
        mv "$part" "$folder" || return
    fi
    printf '%s' "$folder"
}

# The release build, in a folder that holds nothing else: GStreamer looks into the folders below, too.
# A copy, since the plugin looks for ONNX Runtime beside the folder that it is in.
setup_plugin() {
    say "Building the plugin (the first time, this takes a few minutes)"
    cargo build --release --locked "$@"
    local built=$TARGET_FOLDER/release/libgstvidtok.so installed=$PLUGIN_FOLDER/libgstvidtok.so
    if ! cmp -s "$built" "$installed"; then
        install -D -m 755 "$built" "$installed"
    fi
    export GST_PLUGIN_PATH=$PLUGIN_FOLDER${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
}
