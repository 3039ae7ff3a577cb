#!/usr/bin/env bash
# Package:   Pillow 12.3.0 and 13.0.0 (PyPI, Linux x86-64).
# Expected:  Image.resize of the same RGB picture to the same size with the same filter gives the same bytes in both.
# Behaviour: a picture is rounded to 8 bits between the two passes, so that their order shows. 13.0.0 resizes the height first
#            if it loses more than twice as many pixels as the width (a width that grows loses none); 12.3.0 only if it
#            shrinks and the picture is more than 100 times as high as wide. Otherwise both resize the width first. So bytes
#            of some pictures change by one level, and those of others do not.
# Seen:      2026-11-27, Python 3.11, bilinear, noise. 31×90 to 20×12: 99 of 720 bytes; 320×480 to 256×340: 60078 of 261120;
#            4×500 to 2×497: 684 of 2982; 90×31 to 12×20, 64×48 to 32×24, 1080×1920 to 256×455: none. The orders that are said
#            above hold for all of 1306 pairs of sizes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/resize.py" <<'PYTHON'
"""Prints, for each pair of sizes, the bytes of the resized picture, and writes down which pass came first."""

import json
import random
import sys

import numpy as np
from PIL import Image

# Width and height, from and to.
NAMED = [
    (31, 90, 20, 12),
    (90, 31, 12, 20),
    (64, 48, 32, 24),
    (1080, 1920, 256, 455),
    (320, 480, 256, 340),
    (4, 500, 2, 497),
]
number = random.Random(0)
sizes = NAMED + [tuple(number.randint(8, 120) for _ in range(4)) for _ in range(1000)]
# Around 100 times as high as wide.
sizes += [tuple(map(number.randint, (2, 150, 1, 1), (5, 600, 9, 600))) for _ in range(300)]
results = {}
for width, height, new_width, new_height in sizes:
    noise = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    picture, filter = Image.fromarray(noise), Image.Resampling.BILINEAR
    at_once = picture.resize((new_width, new_height), filter).tobytes()
    # Two calls round between the passes as one call does.
    width_first = picture.resize((new_width, height), filter).resize((new_width, new_height), filter).tobytes()
    height_first = picture.resize((width, new_height), filter).resize((new_width, new_height), filter).tobytes()
    order = [at_once == width_first, at_once == height_first]
    results[f"{width}x{height} to {new_width}x{new_height}"] = [at_once.hex(), order]
json.dump(results, sys.stdout)
PYTHON
cat >"$work/compare.py" <<'PYTHON'
"""Compares what two versions printed with each other and with the conditions in this finding's head."""

import json
import re
import sys
from collections import Counter

old, new = (json.load(open(path)) for path in sys.argv[1:])
wrong = Counter()
for number, (name, (before, before_order)) in enumerate(old.items()):
    after, after_order = new[name]
    width, height, new_width, new_height = map(int, re.findall(r"\d+", name))
    pairs = list(zip(bytes.fromhex(before), bytes.fromhex(after), strict=True))
    differences = [abs(a - b) for a, b in pairs if a != b]
    if number < 6:
        print(f"{name}: {len(differences)} of {len(pairs)} bytes differ, by {max(differences, default=0)} at most")
    # Index 0: width first; 1: height first. Both are true where the order does not show.
    wrong["12.3.0"] += not before_order[height > 100 * width and new_height < height]
    wrong["13.0.0"] += not after_order[height - new_height > 2 * max(width - new_width, 0)]
for version, count in sorted(wrong.items()):
    print(f"{version}: of {len(old)} pairs of sizes, {count} are not in the order that the head says")
PYTHON
for version in 12.3.0 13.0.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/pip" install --quiet --disable-pip-version-check "pillow==$version" numpy==2.4.6
    "$work/$version/bin/python" "$work/resize.py" >"$work/$version.json"
done
found=$(python3 "$work/compare.py" "$work/12.3.0.json" "$work/13.0.0.json")
echo "$found"
expect() {
    grep -q -x -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect '31x90 to 20x12: [1-9][0-9]* of 720 bytes differ, by 1 at most'
expect '320x480 to 256x340: [1-9][0-9]* of 261120 bytes differ, by 1 at most'
expect '4x500 to 2x497: [1-9][0-9]* of 2982 bytes differ, by 1 at most'
expect '90x31 to 12x20: 0 of 720 bytes differ, by 0 at most'
expect '64x48 to 32x24: 0 of 2304 bytes differ, by 0 at most'
expect '1080x1920 to 256x455: 0 of 349440 bytes differ, by 0 at most'
expect '12.3.0: of [0-9]* pairs of sizes, 0 are not in the order that the head says'
expect '13.0.0: of [0-9]* pairs of sizes, 0 are not in the order that the head says'
