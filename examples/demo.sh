#!/usr/bin/env bash
# Tokenizes a video, reconstructs it from the tokens alone, and measures both.
#
#   ./examples/demo.sh [OPTIONS] [--] [VIDEO]   VIDEO: any file that GStreamer can play; without: a clip of 3 seconds
#
#   --size N          scale the video down to N pixels on its shorter side, if it is larger (default: 360)
#   --frames N        take only the first N frames (default: all)
#   --key-interval N  start a new segment, to which players can seek, every N frames (default: 0, never)
#   --model MODEL     a tokenizer's folder or name (default: the one that is embedded in the plugin)
#   --output FOLDER   where the results go (default: demo-output in the checkout)
#
# Leaves clip.vidtok (the tokens), reconstruction.mp4 and comparison.png (originals, reconstructions, token maps).
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

# Paths among the arguments are meant from where the user is.
cd "$from"
exec "$TARGET_FOLDER/release/vidtok-demo" "$@"
