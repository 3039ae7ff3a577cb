#!/usr/bin/env bash
# Package:   gstreamer1.0-tools 1.22.0-2+deb12u1 and gstreamer1.0-nice 0.1.21-1 (Debian 12).
# Expected:  `gst-inspect-1.0 --exists ELEMENT` succeeds for every element that `gst-inspect-1.0 ELEMENT` describes. The manual
#            says that --exists checks "if the specified element or plugin exists", and that --atleast-version checks the
#            version "also".
# Behaviour: a version is compared even without --atleast-version: nicesrc, of libnice, which webrtcbin needs, is said not to
#            exist, as its plugin has libnice's version, 0.1.21. With --atleast-version=0.0 the answer is right.
# Seen:      2026-11-27, Debian 12: the output that is checked below. 1.26.2-2 with libnice 0.1.22-1 of Debian 13 (the argument
#            trixie) does as expected, so that the script fails there.
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=gstreamer1.0-tools,gstreamer1.0-nice --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/run.sh" <<'SHELL'
set -eu
dpkg-query --show gstreamer1.0-tools gstreamer1.0-nice
answer() {
    gst-inspect-1.0 "$@" >/described 2>&1 && echo "$*: yes" || echo "$*: no"
}
for element in identity nicesrc nosuchelement; do
    answer $element
    answer --exists $element
    answer --exists --atleast-version=0.0 $element
done
SHELL
found=$(chroot "$work/root" /bin/sh /run.sh)
echo "$found"
expect() {
    grep -q -x -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect 'identity: yes'
expect '--exists identity: yes'
expect '--exists nosuchelement: no'
expect '--exists --atleast-version=0.0 nosuchelement: no'
expect 'nicesrc: yes'
expect '--exists nicesrc: no'
expect '--exists --atleast-version=0.0 nicesrc: yes'
