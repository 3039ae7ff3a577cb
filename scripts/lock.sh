#!/usr/bin/env bash
# Pins Python packages: writes every requirements.txt from the requirements.in beside it, with the hashes of all wheels,
# one version of each for Python 3.11 and newer on every platform. Needs uv (PyPI: uv).
#
#   scripts/lock.sh              takes up what is new in a requirements.in, and leaves the other versions as they are
#   scripts/lock.sh --upgrade    takes the newest versions
set -euo pipefail
cd "$(dirname "$0")/.."

# lock FOLDER OPTION...
lock() {
    uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --generate-hashes \
        --no-annotate --custom-compile-command scripts/lock.sh --output-file "$1/requirements.txt" "${@:2}" "$1/requirements.in"
}

lock tests "$@"
# The same versions, as they share an environment with the tests.
lock models --constraints tests/requirements.txt "$@"
lock scripts --no-deps --constraints tests/requirements.txt "$@"
lock models/training "$@"
lock .ci "$@"
