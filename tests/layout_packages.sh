#!/usr/bin/env bash
# Reads data sets by the packages of their layouts that are too large for the tests, each in an environment of its own:
# layout_packages.sh [SITE-PACKAGES]. They bring PyTorch (several GB). Streaming takes that of another environment, if its
# folder is named; LeRobot wants a version of its own.
set -euo pipefail
there=${1:+$(realpath "$1")}
cd "$(dirname "$0")/.."
source scripts/setup.sh

setup_onnxruntime
setup_python -r tests/requirements.txt
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/sets"
PYTHONPATH=models "$VENV_PYTHON" tests/python/layout_peers.py write "$folder/sets"

# read_by MODULE REQUIREMENT...
read_by() {
    say "$2"
    local python=$folder/$1/bin/python
    python3 -m venv "$folder/$1"
    if [ -n "$there" ] && [ "$1" != lerobot ]; then
        printf '%s\n' "$there" >"$("$python" -c 'import site; print(site.getsitepackages()[0])')/there.pth"
    fi
    # One of LeRobot's packages has no wheel.
    quietly "$python" -m pip install --disable-pip-version-check --only-binary=:all: --no-binary=evdev "${@:2}"
    "$python" tests/python/layout_peers.py "$1" "$folder/sets"
}

read_by datasets datasets==5.2.0 webdataset==1.0.2
read_by streaming mosaicml-streaming==0.13.0
read_by lerobot lerobot==0.4.4
