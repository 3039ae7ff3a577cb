#!/usr/bin/env bash
# Package:   libgstreamer1.0-0 1.22.0-2+deb12u1 (Debian 12), its element identity; gstreamer1.0-libav 1.22.0-2.
# Expected:  "identity eos-after=10" lets ten buffers through and then ends the stream ("EOS after N buffers").
# Behaviour: it lets nine through from a source. Behind a decoder it lets more through, and the more threads decode, the more:
#            the decoder is told that the stream has ended, drains, and what it drains passes identity.
# Seen:      2026-11-27, Debian 12: the output that is checked below. The same with 1.26.2 of Debian 13 (the argument trixie).
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
packages=gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-ugly,gstreamer1.0-libav
mmdebstrap --quiet --variant=minbase --include=$packages,gir1.2-gstreamer-1.0,python3-gi --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/count.py" <<'PYTHON'
"""Counts the buffers that come through `identity eos-after=N`."""

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)


def run(line: str) -> int:
    pipeline, buffers = Gst.parse_launch(line), []
    if (sink := pipeline.get_by_name("sink")) is not None:
        count = lambda _pad, _info: (buffers.append(1), Gst.PadProbeReturn.OK)[1]  # noqa: E731
        sink.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, count)
    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(60 * Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    assert message is not None and message.type == Gst.MessageType.EOS, line
    pipeline.set_state(Gst.State.NULL)
    return len(buffers)


video = "videotestsrc num-buffers=60 ! video/x-raw,format=I420,width=64,height=64,framerate=30/1"
run(f"{video} ! x264enc ! mp4mux ! filesink location=/video.mp4")
decoded = "filesrc location=/video.mp4 ! qtdemux ! avdec_h264 max-threads="
for name, source in (("source", video), ("decoder, 1 thread", decoded + "1"), ("decoder, 4 threads", decoded + "4")):
    print(f"{name}: {[run(f'{source} ! identity eos-after={n} ! fakesink name=sink') for n in (5, 10, 20)]}")
PYTHON
found=$(chroot "$work/root" /bin/sh -c 'dpkg-query --show libgstreamer1.0-0 gstreamer1.0-libav && python3 /count.py')
echo "$found"
expect() {
    grep -q -x -F -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect 'source: [4, 9, 19]'
expect 'decoder, 1 thread: [6, 11, 21]'
expect 'decoder, 4 threads: [9, 14, 24]'
