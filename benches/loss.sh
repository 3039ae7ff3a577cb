#!/usr/bin/env bash
# What packet loss does to the picture, for tokens and H.264: benches/loss.sh CLIPS; see docs/loss.md and --help.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
source scripts/setup.sh

check_options benches/loss/loss_options.py "$@"
setup_rust
setup_system ffmpeg python3-gi
setup_onnxruntime
say "Python packages for drawing"
setup_python -r benches/loss/requirements.txt
setup_plugin
say "Building RaptorQ's elements"
(cd benches/loss/raptorq && cargo build --release --locked -p gst-plugin-raptorq --target-dir "$TARGET_FOLDER/raptorq")

# Measures only the plugins that are built here.
export GST_PLUGIN_PATH=$PLUGIN_FOLDER:$TARGET_FOLDER/raptorq/release
export GST_REGISTRY=$TARGET_FOLDER/loss-registry.bin
cd "$here"
# Debian's Python has GStreamer; the environment's has what draws.
status=0
results=$(/usr/bin/python3 "$root/benches/loss/sweep.py" "$@") || status=$?
if [ -n "$results" ]; then
    "$VENV_PYTHON" "$root/benches/loss/plot.py" "$results"
fi
exit "$status"
