# Sets up the software that demo, benchmarks and tests need, if it is missing. Bash sources it in the checkout's root.
# Each function can be called again and then takes a moment.
#
#   .venv/                 Python packages in the versions that requirements.txt files pin
#   .local/onnxruntime-*/  other builds of ONNX Runtime, for tests
#   .local/dataset/        Python packages beside the system's GStreamer for Python, for tests of vidtok-dataset and of
#                          examples/service
#   .local/lib/            the plugin in gstreamer-1.0/, for GST_PLUGIN_PATH, and ONNX Runtime in onnxruntime/, where
#                          the plugin finds it

# The same as in Cargo.toml: rust-version.
MIN_RUST=1.92
MIN_GSTREAMER=1.22
PLUGIN_FOLDER=$PWD/.local/lib/gstreamer-1.0
RUNTIME_FOLDER=$PWD/.local/lib/onnxruntime
# For tests: builds of ONNX Runtime for NVIDIA and Intel hardware. The tests know which libraries these releases need.
GPU_RUNTIME=onnxruntime-gpu==1.31.1
GPU_RUNTIME_HASH=sha256:05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7
OPENVINO_RUNTIME=onnxruntime-openvino==1.24.1
OPENVINO_RUNTIME_HASH=sha256:d617fac2f59a6ab5ea59a788c3e1592240a129642519aaeaa774761dfe35150e
# For tests: the oldest PyAV whose bytes are those of the newest. Its wheel for x86-64 is the same for all Pythons.
OTHER_PYAV=av==17.1.0
OTHER_PYAV_HASH=sha256:f9a65d1f48b818323fb411e80358f89d77dec340b01d27c6b2dfbb9cbf4b779f
TARGET_FOLDER=${CARGO_TARGET_DIR:-$PWD/target}
VENV_PYTHON=$PWD/.venv/bin/python

# Programs that this script starts send no telemetry, unless the user has set the variable: see TELEMETRY_VARIABLE in
# src/runtime/library.rs.
export ORT_DISABLE_TELEMETRY=${ORT_DISABLE_TELEMETRY-1}

# pip would take packages there for installed, although they are not in .venv.
unset PYTHONPATH PYTHONHOME

say() { printf '\n==> %s\n' "$*"; }

fail() {
    printf '\n%s: %s\n' "$0" "$*" >&2
    exit 1
}

# check_options PROGRAM ARGUMENT...: ends with what a Python program says of wrong arguments or --help, before anything is
# set up. It runs in the user's folder, $here, as paths may be relative to it.
check_options() {
    command -v python3 >/dev/null || return 0
    local program=$PWD/$1 word
    shift
    (cd "$here" && python3 "$program" "$@")
    for word; do
        case $word in -h | --help) exit ;; esac
    done
}

# Runs a command; shows its output only if it fails.
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

# want PACKAGE COMMAND...: adds a Debian package to `missing` unless the command succeeds.
want() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

# Whether what a package brings is there.
has_package() {
    case $1 in
    python3-gi) /usr/bin/python3 -c 'import gi' ;;
    gir1.2-gst-rtsp-server-1.0) /usr/bin/python3 -c 'import gi; gi.require_version("GstRtspServer", "1.0")' ;;
    # A buffer's memory in Python.
    python3-gst-1.0) /usr/bin/python3 -c 'from gi.repository import Gst; Gst.MapInfo.__enter__' ;;
    python3-cairo) /usr/bin/python3 -c 'import cairo' ;;
    # Not --exists, which wants GStreamer's own version of it.
    gstreamer1.0-nice) gst-inspect-1.0 nicesrc ;;
    # A program of the same name.
    *) command -v "$1" ;;
    esac
}

# Installs a linker, GStreamer with its development files and the plugins for video files and tests, and Python's venv;
# also each package that is an argument: see has_package. python3-gi brings GStreamer for Python.
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
        case $program in
            # For Debian's Python: GStreamer from Python.
            python3-gi)
                want python3-gi /usr/bin/python3 -c 'import gi'
                want gir1.2-gst-plugins-base-1.0 /usr/bin/python3 -c \
                    'import gi; gi.require_version("Gst", "1.0"); gi.require_version("GstRtp", "1.0")'
                ;;
            *) want "$program" has_package "$program" ;;
        esac
    done
    if [ ${#missing[@]} -gt 0 ]; then
        command -v apt-get >/dev/null || fail "needs, by their names on Debian: ${missing[*]}"
        if [ "$(id -u)" -ne 0 ]; then
            command -v sudo >/dev/null || fail "needs these packages; as root: apt-get install ${missing[*]}"
            sudo=(sudo)
        fi
        say "Installing by apt: ${missing[*]}"
        quietly "${sudo[@]}" apt-get update || fail "apt-get update failed"
        quietly "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y --no-install-recommends "${missing[@]}" || fail "apt could not install them"
    fi
    pkg-config --atleast-version="$MIN_GSTREAMER" gstreamer-1.0 ||
        fail "needs GStreamer $MIN_GSTREAMER or newer, not $(pkg-config --modversion gstreamer-1.0):" \
            "Debian 12, Ubuntu 24.04 and newer releases have it"
}

setup_rust() {
    # rustup's folder, for shells that were started before rustup was installed.
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    local found=none
    if command -v cargo >/dev/null; then
        found=$(cargo --version | cut -d ' ' -f 2)
        if [ "$(printf '%s\n' "$MIN_RUST" "$found" | sort -V | head -n 1)" = "$MIN_RUST" ]; then
            return
        fi
    fi
    fail "needs Rust $MIN_RUST or newer (cargo found: $found). Install it with rustup, Rust's installer:
  - if apt has it (Debian 13, Ubuntu 24.04 and newer):  apt-get install rustup && rustup default stable
  - otherwise, as the site rustup.rs says
If rustup is installed already:  rustup update stable"
}

# setup_python ARGUMENT...: makes a virtual environment in the checkout. The arguments are pip's: files of pinned
# versions with hashes, from scripts/lock.sh.
setup_python() {
    if ! "$VENV_PYTHON" -m pip --version >/dev/null 2>&1; then
        say "Making a Python environment in .venv"
        quietly python3 -m venv --clear .venv || fail "python3 -m venv failed"
    fi
    quietly "$VENV_PYTHON" -m pip install --disable-pip-version-check --only-binary=:all: --require-hashes "$@" ||
        fail "pip could not install: $*"
}

# Installs ONNX Runtime's library, from its Python wheel, and NumPy.
setup_onnxruntime() {
    if ! compgen -G "$RUNTIME_FOLDER/libonnxruntime.so*" >/dev/null; then
        say "Getting ONNX Runtime and NumPy by pip"
    fi
    # The library does not need the Python packages that the wheel depends on.
    setup_python --no-deps -r scripts/requirements.txt
    local wheel library
    local find='import importlib.util as u; print(u.find_spec("onnxruntime").submodule_search_locations[0])'
    wheel=$("$VENV_PYTHON" -c "$find")/capi
    library=$(cd "$wheel" && compgen -G "libonnxruntime.so*")
    if ! cmp -s "$wheel/$library" "$RUNTIME_FOLDER/$library"; then
        rm -rf "$RUNTIME_FOLDER"
        mkdir -p "$RUNTIME_FOLDER"
        cp "$wheel"/libonnxruntime*.so* "$RUNTIME_FOLDER/"
    fi
}

# other_onnxruntime PACKAGE==VERSION HASH: prints the folder with the libraries of another wheel of ONNX Runtime. It is
# not installed, as all these wheels have the same Python package. Fails if the wheel cannot be downloaded.
other_onnxruntime() {
    local folder=$PWD/.local/$1 part=$PWD/.local/$1.part
    if [ ! -d "$folder" ]; then
        say "Getting $1 by pip (up to 256 MB, once)" >&2
        rm -rf "$part"
        mkdir -p "$part" || return
        printf '%s --hash=%s\n' "$1" "$2" >"$part/requirements.txt"
        # The libraries are the same for all versions of Python.
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

# other_pyav PACKAGE==VERSION HASH: prints the folder of another PyAV than the environment's. Fails if the wheel cannot be
# downloaded.
other_pyav() {
    local folder=$PWD/.local/$1 part=$PWD/.local/$1.part
    if [ ! -d "$folder" ]; then
        rm -rf "$part"
        mkdir -p "$part" || return
        printf '%s --hash=%s\n' "$1" "$2" >"$part/requirements.txt"
        quietly "$VENV_PYTHON" -m pip install --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes \
            --target "$part" -r "$part/requirements.txt" || return
        mv "$part" "$folder" || return
    fi
    printf '%s' "$folder"
}

# Makes the environment in which tests run vidtok-dataset and the example of a service, and sets DATASET_PYTHON. It sees
# the system's PyGObject, so it is made of the system's Python.
setup_dataset() {
    DATASET_PYTHON=$PWD/.local/dataset/bin/python
    if ! "$DATASET_PYTHON" -m pip --version >/dev/null 2>&1; then
        quietly /usr/bin/python3 -m venv --clear --system-site-packages .local/dataset ||
            fail "/usr/bin/python3 -m venv failed"
    fi
    quietly "$DATASET_PYTHON" -m pip install --disable-pip-version-check --only-binary=:all: --require-hashes \
        -r dataset/requirements.txt -r examples/service/requirements.txt ||
        fail "pip could not install the packages of dataset/ and examples/service/"
}

# Builds the plugin and copies it to a folder of its own, as GStreamer also searches the folders below. The plugin looks
# for ONNX Runtime beside that folder.
setup_plugin() {
    say "Building the plugin (the first time, this takes a few minutes)"
    cargo build --release --locked "$@"
    local built=$TARGET_FOLDER/release/libgstvidtok.so installed=$PLUGIN_FOLDER/libgstvidtok.so
    if ! cmp -s "$built" "$installed"; then
        install -D -m 755 "$built" "$installed"
    fi
    export GST_PLUGIN_PATH=$PLUGIN_FOLDER${GST_PLUGIN_PATH:+:$GST_PLUGIN_PATH}
}
