#!/usr/bin/env bash
# Sends live tokens over RTP for a while, with losses, key requests, new caps and pauses, and accounts for every frame,
# every packet, memory and GStreamer's objects:
#
#   tests/soak.sh [--plugin FILE] [--minutes 60] [--seed 1]
#
# The same seed gives the same disturbances. Without --plugin, a release build of this checkout is tested.
set -euo pipefail
plugin=
if [ "${1:-}" = --plugin ]; then
    plugin=$(realpath "$2")
    shift 2
fi
cd "$(dirname "$0")/.."
source scripts/setup.sh

if [ -z "$plugin" ]; then
    setup_rust
    setup_system python3-gi
    setup_onnxruntime
    cargo build --release --locked
    plugin=$TARGET_FOLDER/release/libgstvidtok.so
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
ln -s "$plugin" "$folder/"
export GST_PLUGIN_PATH=$folder ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$RUNTIME_FOLDER}
# The user's registry may know plugins of another build.
export GST_REGISTRY=$folder/registry.bin
/usr/bin/python3 tests/soak/soak.py "$@"
