#!/usr/bin/env bash
# How long a picture takes from its capture to the moment that it comes out, over RTP: benches/latency.sh; see
# docs/live.md and --help.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
source scripts/setup.sh

check_options benches/latency/latency_options.py "$@"
setup_rust
setup_system python3-gi
setup_onnxruntime
setup_plugin

# Measures only the plugin that is built here.
export GST_PLUGIN_PATH=$PLUGIN_FOLDER
export GST_REGISTRY=$TARGET_FOLDER/latency-registry.bin
cd "$here"
exec /usr/bin/python3 "$root/benches/latency/measure.py" "$@"
