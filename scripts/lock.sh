#!/usr/bin/env bash
# Pins Python packages: writes each requirements.txt from the requirements.in beside it. Each package gets one version
# for Python 3.11 and newer on all platforms, with the hashes of all wheels. Needs uv (PyPI: uv).
#
#   scripts/lock.sh              pins new packages in a requirements.in and keeps the other versions
#   scripts/lock.sh --upgrade    updates all packages to their newest versions
set -euo pipefail
cd "$(dirname "$0")/.."

# lock FOLDER OPTION...
lock() {
    uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
        --no-annotate --custom-compile-command scripts/lock.sh --output-file "$1/requirements.txt" \
        "${@:2}" "$1/requirements.in"
}

lock tests "$@"
# These share an environment with the tests, so the versions are the same.
lock models --constraints tests/requirements.txt "$@"
lock scripts --no-deps --constraints tests/requirements.txt "$@"
lock benches/loss --constraints tests/requirements.txt "$@"
lock dataset --constraints tests/requirements.txt "$@"
lock models/training "$@"
lock examples/service --constraints dataset/requirements.txt "$@"
lock examples/train --constraints models/training/requirements.txt "$@"
lock gpu-kit --no-deps "$@"
lock .ci "$@"
