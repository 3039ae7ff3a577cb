#!/usr/bin/env bash
# Package:   safetensors 0.8.0 (PyPI, Linux x86-64).
# Expected:  safetensors.numpy.save of the same tensors and the same metadata gives the same bytes each time.
# Behaviour: the keys of __metadata__ come in an order that differs from call to call, also within a process. With one key,
#            or none, the bytes are the same. The length of the header and the data behind it are always the same.
# Seen:      2026-11-27, Python 3.11: 20 calls with six keys give 20 different files of one length; with one key, one file.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/save.py" <<'PYTHON'
"""Prints how many different files 20 calls make, and how many lengths they have."""

import numpy as np
from safetensors.numpy import save

for keys in ("abcdef", "a"):
    files = [save({"x": np.zeros(3, np.float32)}, {key: key for key in keys}) for _ in range(20)]
    print(len(keys), "keys:", "one file" if len(set(files)) == 1 else "several files", len({len(file) for file in files}))
    if len(keys) > 1:
        print(len(set(files)), "of 20 files are different")
PYTHON
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
found=$("$work/venv/bin/python" "$work/save.py")
echo "$found"
expect() {
    grep -q -x -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect '6 keys: several files 1'
expect '1 keys: one file 1'
