#!/usr/bin/env bash
# Package:   onnxruntime-gpu 1.31.1 and torch 2.15.0 (PyPI, Linux x86-64), both for CUDA 13.
# Expected:  PyTorch's packages bring all libraries of CUDA that ONNX Runtime's CUDA provider links: a Python with PyTorch
#            needs no other package of CUDA to run onnxruntime-gpu.
# Behaviour: the provider links libcurand.so.10. PyTorch 2.15.0 requires cuBLAS, cuFFT, cuSPARSE and others, but not
#            nvidia-curand, so the provider does not load there. "onnxruntime-gpu[cuda]" requires nvidia-curand.
# Seen:      2026-11-27, Python 3.11, pip's resolver: no nvidia-curand among torch's requirements.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v readelf >/dev/null || {
    echo "readelf is needed: install binutils" >&2
    exit 2
}
python3 -m venv "$work/venv"
pip=("$work/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" download --no-deps --only-binary=:all: --dest "$work" onnxruntime-gpu==1.31.1
# Resolves what would be installed, without downloading it.
resolve() {
    "${pip[@]}" install --dry-run --ignore-installed --only-binary=:all: --report - "$1" |
        "$work/venv/bin/python" -c 'import json, sys
print(*sorted(package["metadata"]["name"] for package in json.load(sys.stdin)["install"]))'
}

provider=onnxruntime/capi/libonnxruntime_providers_cuda.so
"$work/venv/bin/python" -m zipfile -e "$work"/onnxruntime_gpu-*.whl "$work/wheel"
linked=$(readelf -d "$work/wheel/$provider" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | xargs)
torch=$(resolve torch==2.15.0)
extra=$(resolve 'onnxruntime-gpu[cuda]==1.31.1')
printf 'the provider links: %s\ntorch brings: %s\nthe extra brings: %s\n' "$linked" "$torch" "$extra"
if [[ $linked != *libcurand.so.10* || " $torch " == *" nvidia-curand "* || " $extra " != *" nvidia-curand "* ]]; then
    echo "this is no longer the behaviour described above" >&2
    exit 1
fi
