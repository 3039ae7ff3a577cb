#!/usr/bin/env bash
# Package:   gstreamer1.0-plugins-base 1.22.0-3+deb12u7 (Debian 12), its element videorate.
# Expected:  ten frames at 30 frames per second come out as ten at the same rate, whatever the segment: it only says up to
#            where a player would play. A segment gets a stop by any seek with an end, also one behind the video's end.
# Behaviour: where the segment has a stop, the last frame is doubled at the end of the stream, up to the stop, for at most a
#            second (the property max-closing-segment-duplication-duration): ten frames become 12, or 39. Without a stop, ten.
# Seen:      2026-11-27, Debian 12: the output that is checked below. The same with 1.26.2 of Debian 13 (the argument trixie).
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=gstreamer1.0-plugins-base,gir1.2-gstreamer-1.0,python3-gi --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/rate.py" <<'PYTHON'
"""Sends ten frames of 1/30 s each, in segments with several stops, through videorate, which need not do anything."""

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
CAPS = "video/x-raw,format=GRAY8,width=16,height=16,framerate=30/1"
for name, stop in (("none", Gst.CLOCK_TIME_NONE), ("0.4 s", Gst.SECOND * 2 // 5), ("2 s", 2 * Gst.SECOND)):
    source = f"appsrc name=source format=time handle-segment-change=true caps={CAPS}"
    pipeline = Gst.parse_launch(f"{source} ! videorate ! {CAPS} ! appsink name=sink sync=false")
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    segment = Gst.Segment()
    segment.init(Gst.Format.TIME)
    segment.stop = stop
    for frame in range(10):
        buffer = Gst.Buffer.new_wrapped(bytes([frame]) * 256)
        buffer.pts, buffer.duration = Gst.util_uint64_scale(frame, Gst.SECOND, 30), Gst.SECOND // 30
        source.emit("push-sample", Gst.Sample.new(buffer, source.get_property("caps"), segment, None))
    source.emit("end-of-stream")
    pipeline.set_state(Gst.State.PLAYING)
    frames = []
    while (sample := sink.emit("pull-sample")) is not None:
        frames.append(sample.get_buffer().extract_dup(0, 1)[0])
    pipeline.set_state(Gst.State.NULL)
    print(f"stop {name}: {len(frames)} frames, {frames.count(9)} of them the last one")
PYTHON
found=$(chroot "$work/root" /bin/sh -c 'dpkg-query --show gstreamer1.0-plugins-base && python3 /rate.py')
echo "$found"
expect() {
    grep -q -x -F -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect 'stop none: 10 frames, 1 of them the last one'
expect 'stop 0.4 s: 12 frames, 3 of them the last one'
expect 'stop 2 s: 39 frames, 30 of them the last one'
