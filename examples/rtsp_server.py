#!/usr/bin/env python3
"""Serves tokens over RTSP, for any number of viewers.

    ./examples/rtsp_server.py [--port 8554] [SOURCE...]

SOURCE is a launch line that ends in raw video; without one, a live test picture. All viewers share one encoder. One
that comes late, or that lost the start of a segment, asks for a new one, which the encoder then begins.

Needs, by their names on Debian: python3-gi, gir1.2-gst-rtsp-server-1.0; and the plugin in GST_PLUGIN_PATH.
"""

import argparse
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

CAMERA = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=256,height=256,framerate=30/1"
# Long segments cost fewer bits; viewers ask for a start when they need one.
TOKENS = "vidtokenc key-interval=120 ! rtpvidtokpay name=pay0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", default="8554", help="TCP port (8554; 0: any free one)")
    parser.add_argument("source", nargs="*", metavar="SOURCE", help="launch line that ends in raw video")
    options = parser.parse_args()
    Gst.init(None)
    line = f"{' '.join(options.source) or CAMERA} ! {TOKENS}"
    try:
        # A mistake would otherwise show only to viewers, as a server that does not answer.
        Gst.parse_bin_from_description(line, False)
    except GLib.Error as error:
        sys.exit(f"rtsp_server.py: {line}: {error.message}")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {line} )")
    factory.set_shared(True)
    # Viewers tell of losses at once.
    factory.set_profiles(GstRtsp.RTSPProfile.AVPF)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(options.port)
    server.get_mount_points().add_factory("/tokens", factory)
    if server.attach(None) == 0:
        sys.exit(f"rtsp_server.py: port {options.port} cannot be used")
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/tokens", flush=True)
    try:
        GLib.MainLoop().run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
