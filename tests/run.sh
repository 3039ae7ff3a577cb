#!/usr/bin/env bash
# Sets up what is missing and runs every test. The last line says how many passed and failed.
#
# VIDTOK_WITHOUT_PROVIDERS=1 leaves out the tests with ONNX Runtime for NVIDIA's and Intel's hardware (340 MB to
# download).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/setup.sh

setup_rust
setup_system strace ffmpeg python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-nice python3-cairo python3-gst-1.0
setup_onnxruntime
say "Python packages of the tests"
setup_python -r tests/requirements.txt
setup_dataset

export ORT_DYLIB_PATH=$RUNTIME_FOLDER
export VIDTOK_FIXTURES=$TARGET_FOLDER/fixtures
export PYTHONPATH=models
export VIDTOK_PYTHON=$VENV_PYTHON
export VIDTOK_DATASET_PYTHON=$DATASET_PYTHON
# The user's registry may know plugins of another build.
export GST_REGISTRY=$TARGET_FOLDER/test-registry.bin
log=$(mktemp)
trap 'rm -f "$log"' EXIT
broken=()

left_out=()
if [ "$(uname -m)" != x86_64 ]; then
    # The wheels are for x86-64 only.
    export VIDTOK_WITHOUT_PROVIDERS=1
fi
if [ -n "${VIDTOK_WITHOUT_PROVIDERS:-}" ]; then
    left_out=("execution providers other than the CPU")
else
    unset VIDTOK_WITHOUT_PROVIDERS
    # If a wheel cannot be had, the tests that need it fail, and say so.
    VIDTOK_GPU_RUNTIME=$(other_onnxruntime "$GPU_RUNTIME" "$GPU_RUNTIME_HASH") || broken+=("getting $GPU_RUNTIME")
    VIDTOK_OPENVINO_RUNTIME=$(other_onnxruntime "$OPENVINO_RUNTIME" "$OPENVINO_RUNTIME_HASH") || broken+=("getting $OPENVINO_RUNTIME")
    export VIDTOK_GPU_RUNTIME VIDTOK_OPENVINO_RUNTIME
    if [ -e /proc/driver/nvidia ]; then
        # These tests expect errors about missing libraries. A GPU is measured with `benches/run.sh --provider cuda`.
        left_out+=("CUDA and TensorRT: this machine has an NVIDIA driver")
    fi
fi

if [ "$(uname -m)" = x86_64 ]; then
    VIDTOK_OTHER_PYAV=$(other_pyav "$OTHER_PYAV" "$OTHER_PYAV_HASH") || broken+=("getting $OTHER_PYAV")
    export VIDTOK_OTHER_PYAV
else
    left_out+=("a second version of PyAV")
fi

# run NAME SECONDS COMMAND...: a suite that takes longer has failed.
run() {
    say "$1"
    timeout --kill-after=10 "$2" "${@:3}" 2>&1 | tee -a "$log" || broken+=("$1")
}

say "Building"
cargo build --locked --workspace --lib --bins --tests --benches
run "Models to test with" 300 "$VENV_PYTHON" tests/python/make_fixtures.py "$VIDTOK_FIXTURES"
run "Export (pytest)" 900 "$VENV_PYTHON" -m pytest --quiet tests/python
if cargo nextest --version >/dev/null 2>&1; then
    run "Plugin (cargo nextest)" 900 cargo nextest run --locked --workspace --no-fail-fast --hide-progress-bar --status-level fail
else
    run "Plugin (cargo test)" 900 cargo test --locked --workspace --no-fail-fast --quiet --lib --bins --tests
fi
run "Examples in the documentation (cargo test --doc)" 300 cargo test --locked --doc --quiet
run "Demo" 300 tests/demo.sh "$TARGET_FOLDER/debug/libgstvidtok.so" "$TARGET_FOLDER/debug/vidtok-demo"
run "A minute of soak" 200 tests/soak.sh --plugin "$TARGET_FOLDER/debug/libgstvidtok.so" --minutes 1
run "Launch lines of the documents" 300 tests/readme.sh "$TARGET_FOLDER/debug/libgstvidtok.so"

# total passed, total failed: sums up "12 passed" and "3 failed" in the last lines of pytest, cargo, nextest and the scripts.
total() {
    grep -E '^(test result:|[= ]*[0-9]+ (passed|failed)|.*Summary \[)' "$log" | grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }'
}
if [ ${#left_out[@]} -gt 0 ]; then
    say "NOT tested: ${left_out[*]}"
fi
printf '\n%s passed, %s failed\n' "$(total passed)" "$(total failed)"
if [ ${#broken[@]} -gt 0 ]; then
    fail "failed:$(printf ' %s;' "${broken[@]}")"
fi
