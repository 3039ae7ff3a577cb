#!/usr/bin/env bash
# Package:   gstreamer1.0-plugins-good 1.22.0-5+deb12u4 (Debian 12), its element jpegdec.
# Expected:  a grey JPEG gives the same picture whatever sampling factors its only component states: a scan of one component
#            does not interleave, so that they mean nothing (ITU-T T.81, A.2.2). Or else an error.
# Behaviour: with the factors 1×1 there is a picture. With 2×2, which real encoders write, there is none, no message on the
#            bus, and gst-launch-1.0 exits with 0. (The decoder's base class forgives ten errors before it posts one.)
# Seen:      2026-11-27, Debian 12: 1×1: exit 0, 0 errors and warnings, 4096 bytes; 2×2: the same, 0 bytes. So it is with
#            1.26.2-1+deb13u2 of Debian 13 (the argument trixie).
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=gstreamer1.0-tools,gstreamer1.0-plugins-good,gstreamer1.0-plugins-base,python3-pil \
    --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/make.py" <<'PYTHON'
"""Writes a grey ramp twice: as Pillow does (1×1), and with 2×2 in the header. Pillow reads the same picture of both."""

import io

from PIL import Image

ramp = Image.linear_gradient("L").resize((64, 64))
file = io.BytesIO()
ramp.save(file, "JPEG")
data = bytearray(file.getvalue())
# A frame header of one component: marker, length, precision, height, width, count, id, factors.
factors = data.index(b"\xff\xc0") + 11
assert data[factors - 2] == 1 and data[factors] == 0x11
open("/1x1.jpg", "wb").write(data)
data[factors] = 0x22
open("/2x2.jpg", "wb").write(data)
assert Image.open("/1x1.jpg").tobytes() == Image.open("/2x2.jpg").tobytes()
PYTHON
cat >"$work/root/run.sh" <<'SHELL'
set -eu
dpkg-query --show gstreamer1.0-plugins-good
python3 /make.py
for factors in 1x1 2x2; do
    said=$(gst-launch-1.0 -m filesrc location=/$factors.jpg ! jpegdec ! filesink location=/$factors.raw 2>&1) && exit=0 || exit=$?
    errors=$(echo "$said" | grep -c -e '(error' -e '(warning' || true)
    echo "$factors: exit $exit, $errors errors and warnings, $(wc -c </$factors.raw) bytes"
done
SHELL
found=$(chroot "$work/root" /bin/sh /run.sh)
echo "$found"
grep -q '^1x1: exit 0, 0 errors and warnings, 4096 bytes$' <<<"$found" || { echo "the usual JPEG gives no picture" >&2; exit 1; }
grep -q '^2x2: exit 0, 0 errors and warnings, 0 bytes$' <<<"$found" || { echo "the other JPEG is read or refused now" >&2; exit 1; }
