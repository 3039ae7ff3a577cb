#!/usr/bin/env bash
# Sets up missing software, builds the benchmarks and runs them: benches/run.sh --help
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
root=$PWD
source scripts/setup.sh

check_options benches/options.py "$@"
# The load by other programs, before set-up and build add to it.
read -r BENCHMARK_LOAD _ </proc/loadavg
export BENCHMARK_LOAD
setup_rust
setup_system
setup_onnxruntime
say "Python packages for exporting graphs and counting operations"
setup_python -r tests/requirements.txt

# The user may name another ONNX Runtime, such as one for a GPU.
export ORT_DYLIB_PATH=${ORT_DYLIB_PATH:-$RUNTIME_FOLDER}
BENCHMARK_FOLDER=$(realpath -m "$TARGET_FOLDER")/benchmark
export BENCHMARK_FOLDER
# Measures only the plugin that is built here.
unset GST_PLUGIN_PATH
export GST_REGISTRY=$BENCHMARK_FOLDER/registry.bin
mkdir -p "$BENCHMARK_FOLDER"
say "Building (the first time, this takes a few minutes)"
cargo bench --no-run --locked --bench steps --bench parallel --message-format=json-render-diagnostics \
    >"$BENCHMARK_FOLDER/build.json"
cd "$here"
"$VENV_PYTHON" "$root/benches/benchmark.py" "$@"
