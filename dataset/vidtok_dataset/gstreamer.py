"""GStreamer and the plugin, from Python."""

import ctypes
import os

from .errors import DatasetError

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstBase", "1.0")
    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, Gst, GstBase, GstVideo
except (ImportError, ValueError) as error:
    raise DatasetError(
        f"GStreamer for Python is not here ({error}): install the packages python3-gi and gir1.2-gst-plugins-base-1.0,"
        " and make the virtual environment with the system's Python and --system-site-packages"
    ) from error

__all__ = ["GLib", "Gst", "GstBase", "GstVideo", "start"]

# decodebin would take jpegdec, whose bytes differ from those of the readers that PyTorch's users have.
PREFERRED = ("avdec_mjpeg",)
# Parameters of mallopt(3), and their values here. A clip takes memory in threads of its own and gives it back at its
# end; glibc would return it to the system, and the next clip would wait for each page again.
MALLOC_KEEPS = {-1: 256 << 20, -3: 32 << 20}


def start() -> None:
    """Starts GStreamer, and checks that the elements are there.

    Raises a `DatasetError` that says what to install or set.
    """
    # The plugin's own rule: programs that this project brings send no telemetry, unless the user says so.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    _keep_memory()
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


def _keep_memory() -> None:
    """Tells glibc's allocator to keep what is given back, unless the user has set it up. Others need no telling."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or any(name.startswith("MALLOC_") for name in os.environ):
        return
    for parameter, value in MALLOC_KEEPS.items():
        mallopt(parameter, value)
