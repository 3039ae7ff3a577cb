#!/usr/bin/env bash
# What a data set costs: benches/dataset.sh [VIDEOS] [--size WxH] [--repeats N] [--short N]; see dataset.py.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
source scripts/setup.sh

check_options benches/dataset.py "$@"
setup_rust
setup_system ffmpeg python3-gi
setup_onnxruntime
say "Python packages of the tests"
setup_python -r tests/requirements.txt
setup_dataset
setup_plugin

# Measures only the plugin that is built here.
export GST_PLUGIN_PATH=$PLUGIN_FOLDER
export GST_REGISTRY=$TARGET_FOLDER/dataset-registry.bin
cd "$here"
"$VENV_PYTHON" "$root/benches/dataset.py" --dataset-python "$DATASET_PYTHON" "$@"
