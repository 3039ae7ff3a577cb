#!/usr/bin/env bash
# Package:   gstreamer1.0-plugins-good 1.22.0-5+deb12u4 (Debian 12), its element rtpulpfecdec.
# Expected:  rtpulpfecdec consumes the parity packets, which have a payload type of their own (its property pt), and a
#            depayloader can follow it directly, as in the example of its documentation.
# Behaviour: the parity packets come out, too. Depayloaders do not look at the payload type: without any loss, and with no
#            message, rtpL16depay gives out parity as sound. Between the two belongs `rtpptdemux ignored-payload-types=<PT>`.
#            (An rtpjitterbuffer in front that has no caps for the parity's payload type hides this, as it drops parity.)
# Seen:      2026-11-27, Debian 12: the output that is checked below; the same with 1.26.2-1+deb13u2 of Debian 13 (the argument
#            trixie).
# As root: the packages are unpacked into a root of their own (mmdebstrap).
set -euo pipefail
suite=${1:-bookworm}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase \
    --include=gstreamer1.0-plugins-good,gstreamer1.0-plugins-base,gir1.2-gst-plugins-base-1.0,python3-gi \
    --format=tar "$suite" "$work/root.tar"
mkdir "$work/root"
tar --extract --file "$work/root.tar" --directory "$work/root" --exclude='./dev/*'

cat >"$work/root/parity.py" <<'PYTHON'
"""Sends four RTP packets of silence, each with its parity, through rtpulpfecdec, and prints what comes out."""

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtp", "1.0")
from gi.repository import Gst, GstApp, GstRtp  # noqa: E402, F401 - GstApp gives appsink and appsrc their methods

Gst.init(None)
MEDIA, PARITY, PACKETS, SAMPLES = 96, 122, 4, 441
CAPS = f"application/x-rtp,media=audio,encoding-name=L16,clock-rate=44100,channels=1,payload={MEDIA}"


def packet(number):
    buffer = GstRtp.RTPBuffer.new_allocate(2 * SAMPLES, 0, 0)
    _, header = GstRtp.RTPBuffer.map(buffer, Gst.MapFlags.READ | Gst.MapFlags.WRITE)
    header.set_payload_type(MEDIA)
    header.set_ssrc(1)
    header.set_seq(1000 + number)
    header.set_timestamp(SAMPLES * number)
    header.set_marker(True)
    header.unmap()
    start = buffer.get_size() - 2 * SAMPLES
    buffer.fill(start, bytes(2 * SAMPLES))
    buffer.pts = number * SAMPLES * Gst.SECOND // 44100
    return buffer


def behind(elements):
    """What comes out of elements behind rtpulpfecdec."""
    pipeline = Gst.parse_launch(
        f"appsrc name=source format=time caps={CAPS} ! rtpulpfecenc pt={PARITY} percentage=100 multipacket=true"
        " ! rtpstorage name=storage size-time=60000000000"
        f" ! rtpulpfecdec name=decoder pt={PARITY} ! {elements} ! appsink name=sink sync=false"
    )
    pipeline.get_by_name("decoder").props.storage = pipeline.get_by_name("storage").props.internal_storage
    pipeline.set_state(Gst.State.PLAYING)
    source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
    for number in range(PACKETS):
        source.push_buffer(packet(number))
    source.end_of_stream()
    buffers = []
    while sample := sink.try_pull_sample(10 * Gst.SECOND):
        buffers.append(sample.get_buffer())
    assert sink.is_eos()
    message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR | Gst.MessageType.WARNING)
    assert not message, message
    pipeline.set_state(Gst.State.NULL)
    return buffers


def payload_type(buffer):
    _, header = GstRtp.RTPBuffer.map(buffer, Gst.MapFlags.READ)
    number = header.get_payload_type()
    header.unmap()
    return number


def sound(elements):
    samples = b"".join(buffer.extract_dup(0, buffer.get_size()) for buffer in behind(elements))
    return "silence" if not any(samples) else "noise"


demux = f"rtpptdemux ignored-payload-types=<{PARITY}>"
print("types:", *map(payload_type, behind("identity")))
print("types behind rtpptdemux:", *map(payload_type, behind(demux)))
print("sound:", sound("rtpL16depay"))
print("sound behind rtpptdemux:", sound(f"{demux} ! rtpL16depay"))
PYTHON
found=$(chroot "$work/root" /bin/sh -c 'dpkg-query --show gstreamer1.0-plugins-good && python3 /parity.py')
echo "$found"
expect() {
    grep -q -x -F -e "$1" <<<"$found" || { echo "no longer: $1" >&2; exit 1; }
}
expect 'types: 96 122 96 122 96 122 96 122'
expect 'types behind rtpptdemux: 96 96 96 96'
expect 'sound: noise'
expect 'sound behind rtpptdemux: silence'
