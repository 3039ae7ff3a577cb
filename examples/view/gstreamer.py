"""GStreamer for the viewer's modules, and what they share of it."""

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp  # noqa: E402

__all__ = ["GLib", "Gst", "GstSdp", "StreamError", "bytes_of", "error_of", "launch", "sdp_file"]


class StreamError(Exception):
    """What does not work, for the user."""


def launch(line: str) -> Gst.Pipeline:
    try:
        return Gst.parse_launch(line)
    except GLib.Error as error:
        if error.matches(Gst.ParseError.quark(), Gst.ParseError.NO_SUCH_ELEMENT) and "vidtok" in error.message:
            raise StreamError(f"{error.message}: name the plugin's folder in GST_PLUGIN_PATH") from error
        raise StreamError(f"{error.message}, in: {line}") from error


def error_of(message: Gst.Message) -> str:
    return message.parse_error()[0].message.rstrip(".")


def bytes_of(buffer: Gst.Buffer) -> bytes:
    """A copy, which Python's bindings make of any memory unless python3-gst-1.0 is there (see `embed.py`)."""
    return buffer.extract_dup(0, buffer.get_size())


def sdp_file(path: str) -> tuple[int, str]:
    """Port and caps of the tokens that an SDP file announces."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(65_536)
    except (OSError, UnicodeDecodeError) as error:
        raise StreamError(f"{path}: {getattr(error, 'strerror', None) or 'this is no SDP'}") from error
    result, session = GstSdp.SDPMessage.new_from_text(text)
    if result != GstSdp.SDPResult.OK:
        raise StreamError(f"{path}: this is no SDP")
    for at in range(session.medias_len()):
        media = session.get_media(at)
        for number in range(media.formats_len()):
            payload_type = media.get_format(number)
            caps = media.get_caps_from_media(int(payload_type)) if payload_type.isdecimal() else None
            if caps and "encoding-name=(string)VIDTOK" in caps.to_string():
                # The name says only that SDP does not know the transport.
                return media.get_port(), caps.to_string().replace("application/x-unknown", "application/x-rtp", 1)
    raise StreamError(f"{path}: it announces no tokens (a=rtpmap:… VIDTOK/90000)")
