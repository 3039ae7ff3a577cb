#!/usr/bin/env bash
# Makes the kit: everything that a machine with a GPU needs to find out what this project does there, in pieces to copy.
#
#   gpu-kit/prepare.sh --out FOLDER [--clips FOLDER]... [--vidtok CHECKOUT] [--target-python 3.12]... [--piece-megabytes 60]
#
# --clips: videos and photographs to train on; --vidtok: a checkout of microsoft/VidTok to compare with.
# --target-python: also carry the exporter's Python packages (35 MB) for that version, for a target that lacks them.
# --profile dev: a quick build, for a rehearsal on a CPU.
set -euo pipefail
here=$PWD
cd "$(dirname "$0")/.."
source scripts/setup.sh

out='' profile=release vidtok='' pythons=() clips=() collect=()
absolute() { realpath -m "$(case $1 in /*) echo "$1" ;; *) echo "$here/$1" ;; esac)"; }
while [ $# -gt 0 ]; do
    option=$1
    case $option in
        -h | --help)
            sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' gpu-kit/prepare.sh
            exit
            ;;
        --out | --clips | --vidtok | --target-python | --piece-megabytes | --clip-megabytes | --profile)
            [ $# -gt 1 ] || fail "$option needs a value"
            ;;
        *) fail "unknown option $option; see --help" ;;
    esac
    case $option in
        --out) out=$(absolute "$2") ;;
        --clips) clips+=(--clips "$(absolute "$2")") ;;
        --vidtok) vidtok=$(absolute "$2") ;;
        --target-python) pythons+=("$2") ;;
        --profile) profile=$2 ;;
        *) collect+=("$option" "$2") ;;
    esac
    shift 2
done
[ -n "$out" ] || fail "needs --out FOLDER; see --help"
for folder in "${clips[@]#--clips}" ${vidtok:+"$vidtok"}; do
    [ -z "$folder" ] || [ -d "$folder" ] || fail "$folder is not a folder"
done

setup_rust
setup_system
setup_onnxruntime
work=$(realpath -m "$TARGET_FOLDER")/gpu-kit
mkdir -p "$work"
say "ONNX Runtime for NVIDIA GPUs"
runtime=$(other_onnxruntime "$GPU_RUNTIME" "$GPU_RUNTIME_HASH") || fail "could not get $GPU_RUNTIME"

wheels=$work/wheels
rm -rf "$wheels"
mkdir -p "$wheels"
# download VERSION REQUIREMENTS: packages for another Python, as the hashes say.
download() {
    local platforms=() minor
    for minor in 17 24 26 27 28 31 34; do
        platforms+=(--platform "manylinux_2_${minor}_x86_64")
    done
    quietly "$VENV_PYTHON" -m pip download --disable-pip-version-check --only-binary=:all: --no-deps --require-hashes \
        --python-version "$1" --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 -d "$wheels" -r "$2" ||
        fail "pip could not get the packages of $2 for Python $1"
}
for version in "${pythons[@]}"; do
    say "Python packages for Python $version"
    download "$version" models/requirements.txt
done
if [ -n "$vidtok" ]; then
    say "Python packages that VidTok imports"
    download 3.12 gpu-kit/requirements.txt
fi

say "Building ($profile)"
# A profile's folder has its name, but for this one.
built=$TARGET_FOLDER/${profile/#dev/debug}
cargo build --profile "$profile" --locked -p gst-plugin-vidtok -p gpu-kit-probe --lib --bins --bench steps --bench parallel \
    --message-format=json-render-diagnostics >"$work/build.json"
programs=(--program "$built/probe")
while read -r program; do
    programs+=(--program "$program")
done < <("$VENV_PYTHON" - "$work/build.json" <<'PYTHON'
import json
import sys

for line in open(sys.argv[1], encoding="utf-8"):
    message = json.loads(line)
    if message.get("executable") and "bench" in message["target"]["kind"]:
        print(message["executable"])
PYTHON
)
[ ${#programs[@]} -eq 6 ] || fail "Cargo built other programs than expected: ${programs[*]}"

say "Packing (some minutes)"
PYTHONPATH=gpu-kit nice "$VENV_PYTHON" -m gpukit.collect --out "$out" --work "$work/stage" --plugin "$built/libgstvidtok.so" \
    "${programs[@]}" --onnxruntime "$runtime" --onnxruntime-version "${GPU_RUNTIME#*==}" --wheels "$wheels" \
    --profile "$profile" ${vidtok:+--vidtok "$vidtok"} "${clips[@]}" "${collect[@]}"
