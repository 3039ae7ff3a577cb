#!/usr/bin/env bash
# Package:   libgstreamer-plugins-base1.0-0 1.22.0-3+deb12u7 (Debian 12), its function gst_video_info_from_caps.
# Expected:  the chroma-site of the caps is the chroma site of the GstVideoInfo. It is a field of its own: whether the caps
#            have a colorimetry, too, does not matter.
# Behaviour: where the caps have no colorimetry, or one with an unknown matrix, chroma-site is ignored, and the default for the
#            height counts: jpeg for small pictures, mpeg2 for 720 lines. So "mpeg2" becomes jpeg, and "jpeg" becomes mpeg2.
#            avdec_h264 writes such caps (mpeg2, no colorimetry) for H.264 that names no colours.
# Seen:      2026-11-27, Debian 12: the output that is checked below. 1.26.2-1+deb13u2 of Debian 13 (the argument trixie)
#            does as expected: the script prints "as the caps say" eight times there, and fails.
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=gir1.2-gst-plugins-base-1.0,python3-gi --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/sites.py" <<'PYTHON'
"""Prints what a GstVideoInfo of caps with a chroma site says."""

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402

Gst.init(None)
SITES = {"jpeg": GstVideo.VideoChromaSite.JPEG, "mpeg2": GstVideo.VideoChromaSite.MPEG2}
for size, site in (("width=320,height=240", "mpeg2"), ("width=1280,height=720", "jpeg")):
    # Range, matrix, transfer, primaries, where 0 is unknown.
    for colorimetry in (None, "bt709", "2:0:0:0", "2:3:0:0"):
        colours = f",colorimetry=(string){colorimetry}" if colorimetry else ""
        caps = f"video/x-raw,format=I420,{size},framerate=25/1,chroma-site={site}{colours}"
        read = GstVideo.VideoInfo.new_from_caps(Gst.Caps.from_string(caps)).chroma_site
        said = "as the caps say" if read == SITES[site] else next(name for name in SITES if SITES[name] == read)
        print(f"{size}, {site}, colorimetry {colorimetry}: {said}")
PYTHON
found=$(chroot "$work/root" /bin/sh -c 'dpkg-query --show libgstreamer-plugins-base1.0-0 && python3 /sites.py')
echo "$found"
expect() {
    grep -q -x -F -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect 'width=320,height=240, mpeg2, colorimetry bt709: as the caps say'
expect 'width=320,height=240, mpeg2, colorimetry 2:3:0:0: as the caps say'
expect 'width=320,height=240, mpeg2, colorimetry None: jpeg'
expect 'width=320,height=240, mpeg2, colorimetry 2:0:0:0: jpeg'
expect 'width=1280,height=720, jpeg, colorimetry bt709: as the caps say'
expect 'width=1280,height=720, jpeg, colorimetry 2:3:0:0: as the caps say'
expect 'width=1280,height=720, jpeg, colorimetry None: mpeg2'
expect 'width=1280,height=720, jpeg, colorimetry 2:0:0:0: mpeg2'
