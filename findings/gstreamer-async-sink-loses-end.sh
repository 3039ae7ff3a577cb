#!/usr/bin/env bash
# Package:   libgstreamer1.0-0 1.22.0-2+deb12u1 and gstreamer1.0-tools (Debian 12), with decodebin of
#            gstreamer1.0-plugins-base.
# Expected:  `gst-launch-1.0 filesrc ! decodebin ! fakesink async=false` ends at the end of the file. async=false means that the
#            sink changes to PAUSED without waiting for a buffer; with any other value the line ends.
# Behaviour: in many runs it never ends. The log (GST_DEBUG=bin:5,basesink:5) shows that the sink posts EOS, and that the
#            pipeline keeps the message to itself. decodebin, the only element that then changes its state asynchronously, had
#            reported to be done in the moment in which gst-launch-1.0 set the pipeline to PLAYING.
# Seen:      2026-11-27, Debian 12: 13 of 20 runs end. 1.26.2-2 of Debian 13 (the argument trixie): 15 of 20.
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages=gstreamer1.0-tools,gstreamer1.0-plugins-base,gstreamer1.0-plugins-good
mmdebstrap --quiet --variant=minbase --include="$packages" --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/count.sh" <<'SH'
# count OPTION: how many of 20 runs end within 5 s.
count() {
    ended=0
    for _ in $(seq 20); do
        if timeout 5 gst-launch-1.0 -q filesrc location=/clip.avi ! decodebin ! fakesink "$@" >/dev/null 2>&1; then
            ended=$((ended + 1))
        fi
    done
    echo "fakesink $*: $ended of 20 runs end"
}
dpkg-query --show libgstreamer1.0-0
gst-launch-1.0 -q videotestsrc num-buffers=10 ! video/x-raw,width=64,height=64 ! jpegenc ! avimux ! filesink location=/clip.avi
count async=true
count async=false
SH
found=$(chroot "$work/root" /bin/bash /count.sh)
echo "$found"
grep -q -x -F 'fakesink async=true: 20 of 20 runs end' <<<"$found" || { echo "no longer: async=true ends" >&2; exit 1; }
if grep -q -x -F 'fakesink async=false: 20 of 20 runs end' <<<"$found"; then
    echo "no longer: async=false hangs" >&2
    exit 1
fi
