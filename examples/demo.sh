#!/usr/bin/env bash
# Tokenizes a video, reconstructs it from the tokens alone, and measures both.
#
#   ./examples/demo.sh [OPTIONS] [--] [VIDEO]   VIDEO: any file that GStreamer can play (default: a clip of 3 seconds)
#
#   --size N          scale a larger video down to N pixels on its shorter side (default: 360)
#   --frames N        use only the first N frames (default: all)
#   --key-interval N  start a new segment every N frames, for players to seek to (default: 0, never)
#   --model MODEL     folder or name of a tokenizer (default: the one embedded in the plugin)
#   --output FOLDER   folder for the results (default: demo-output in the checkout)
#
# Writes clip.vidtok (the tokens), reconstruction.mp4 and comparison.png (originals, reconstructions, token maps).
set -euo pipefail

for argument; do
    [ "$argument" != -- ] || break
    if [ "$argument" = --help ] || [ "$argument" = -h ]; then
        sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0"
        exit
    fi
done

from=$PWD
cd "$(dirname "$0")/.."
source scripts/setup.sh
setup_rust
setup_system
setup_onnxruntime
setup_plugin --package gst-plugin-vidtok --package vidtok-demo

# Relative paths in the arguments start at the user's folder.
cd "$from"
exec "$TARGET_FOLDER/release/vidtok-demo" "$@"
