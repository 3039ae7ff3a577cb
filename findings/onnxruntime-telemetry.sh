#!/usr/bin/env bash
# Package:   onnxruntime 1.32.0 (PyPI, Linux x86-64).
# Expected:  `disable_telemetry_events()`, the API for it, keeps the library from recording anything. (According to the
#            documentation, only Windows builds have telemetry.)
# Behaviour: from 1.29 on, the Linux wheel records telemetry, too. Importing it and making a session writes a device id and a
#            database of events to the user's cache folder and `.ses` to the temporary folder; later it looks up a host.
#            Calling the API first prevents none of these files: they are written when the library's environment is made, and
#            the API needs that environment. The environment variable ORT_DISABLE_TELEMETRY=1 prevents them. So does CI=true,
#            so that tests in CI show none of this.
# Seen:      2026-11-27, Python 3.11, in a network namespace without network.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2

cat >"$work/session.py" <<'PYTHON'
import sys

import onnx
import onnxruntime

if "api" in sys.argv:
    onnxruntime.disable_telemetry_events()
value = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
onnxruntime.InferenceSession(model.SerializeToString())
PYTHON

# files VARIABLE=VALUE... -- ARGUMENT...: prints the names of the files that a session writes below an empty home folder.
files() {
    local variables=() home
    while [ "$1" != -- ]; do
        variables+=("$1")
        shift
    done
    shift
    home=$(mktemp -d "$work/home.XXXX")
    unshare --map-root-user --net env -i PATH="$PATH" HOME="$home" XDG_CACHE_HOME="$home/cache" TMPDIR="$home" "${variables[@]}" \
        "$work/venv/bin/python" "$work/session.py" "$@" >&2
    (cd "$home" && find . -type f -printf '%f\n' | sort | paste -sd' ')
}

status=0
expect() {
    printf '%-32s %s\n' "$1:" "${2:-no file}"
    [ "$2" = "$3" ] || { printf '  expected, as described above: %s\n' "${3:-no file}" && status=1; }
}
all=".ses deviceid onnxruntime.db"
expect "default" "$(files --)" "$all"
expect "disable_telemetry_events()" "$(files -- api)" "$all"
expect "ORT_DISABLE_TELEMETRY=1" "$(files ORT_DISABLE_TELEMETRY=1 --)" ""
expect "CI=true" "$(files CI=true --)" ""
exit $status
