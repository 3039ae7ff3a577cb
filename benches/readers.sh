#!/usr/bin/env bash
# How many tokens differ from those of frames that PyAV reads: benches/readers.sh CLIPS [--frames N]; see docs/pixels.md.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
source scripts/setup.sh

check_options benches/readers/readers_options.py "$@"
setup_rust
setup_system
setup_onnxruntime
say "Python packages of the tests"
setup_python -r tests/requirements.txt
setup_plugin

# Measures only the plugin that is built here.
export GST_PLUGIN_PATH=$PLUGIN_FOLDER
export GST_REGISTRY=$TARGET_FOLDER/readers-registry.bin
export PYTHONPATH=$root/models:$root/tests/python
cd "$here"
"$VENV_PYTHON" "$root/benches/readers/compare.py" "$@"
