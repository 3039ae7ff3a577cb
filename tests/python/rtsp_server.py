"""An RTSP server of tokens, for Debian's Python, which has GStreamer's bindings: rtsp_server.py LAUNCH-LINE

Prints the address on a line of its own and serves until it is stopped.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    # Any free port.
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(f"( {sys.argv[1]} )")
    factory.set_shared(True)
    # Receivers tell of losses at once.
    factory.set_profiles(GstRtsp.RTSPProfile.AVPF)
    server.get_mount_points().add_factory("/tokens", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/tokens", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
