"""GStreamer and the plugin, from Python."""

import os

from .errors import DatasetError

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, Gst, GstVideo
except (ImportError, ValueError) as error:
    raise DatasetError(
        f"GStreamer for Python is not here ({error}): install the packages python3-gi and gir1.2-gst-plugins-base-1.0,"
        " and make the virtual environment with the system's Python and --system-site-packages"
    ) from error

__all__ = ["GLib", "Gst", "GstVideo", "start"]

# decodebin would take jpegdec, whose bytes differ from those of the readers that PyTorch's users have.
PREFERRED = ("avdec_mjpeg",)


def start() -> None:
    """Starts GStreamer, and checks that the elements are there.

    Raises a `DatasetError` that says what to install or set.
    """
    # The plugin's own rule: programs that this project brings send no telemetry, unless the user says so.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    Gst.init(None)
    for element in ("vidtokenc", "decodebin", "videorate"):
        if Gst.ElementFactory.find(element) is None:
            way_out = (
                "set GST_PLUGIN_PATH to the folder of libgstvidtok.so"
                if element == "vidtokenc"
                else "install gstreamer1.0-plugins-base"
            )
            raise DatasetError(f"GStreamer does not find {element}: {way_out}")
    for name in PREFERRED:
        if (factory := Gst.ElementFactory.find(name)) is not None:
            factory.set_rank(Gst.Rank.PRIMARY + 100)
