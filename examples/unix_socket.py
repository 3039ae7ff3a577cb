#!/usr/bin/env python3
"""Sends tokens through a Unix socket to any number of programs, or plays what comes from one.

    ./examples/unix_socket.py serve tokens.socket [SOURCE...]    SOURCE: a launch line that ends in raw video
    ./examples/unix_socket.py play tokens.socket [SINK...]       SINK: a launch line that takes raw video

A program that connects late gets the stream from the next segment start on, with the stream header. The file's
permissions say who may connect.

Needs, by its name on Debian: python3-gi; and the plugin in GST_PLUGIN_PATH.
"""

import argparse
import socket
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gio, GLib, Gst  # noqa: E402

SOURCE = "videotestsrc is-live=true pattern=ball"
SINK = "autovideosink"


def serve(path: Path, source: str) -> str | None:
    """Run until the source ends. Gives what went wrong."""
    tokens = "vidtokenc key-interval=20"
    sink = "multisocketsink name=clients sync-method=next-keyframe"
    pipeline = Gst.parse_launch(f"{source} ! {tokens} ! {sink}")
    path.unlink(missing_ok=True)
    service = Gio.SocketService()
    address = Gio.UnixSocketAddress.new(str(path))
    service.add_address(address, Gio.SocketType.STREAM, Gio.SocketProtocol.DEFAULT, None)
    # The sink keeps the sockets and closes them.
    clients = pipeline.get_by_name("clients")
    service.connect("incoming", lambda _, connection, __: clients.emit("add", connection.get_socket()) or True)
    service.start()
    try:
        return play_to_end(pipeline)
    finally:
        path.unlink(missing_ok=True)


def play(path: Path, sink: str) -> str | None:
    """Show what comes through the socket. Gives what went wrong."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            return f"{path}: {error.strerror}"
        tokens = f"fdsrc fd={client.fileno()} ! vidtokparse ! vidtokdec"
        return play_to_end(Gst.parse_launch(f"{tokens} ! videoconvert ! {sink}"))


def play_to_end(pipeline: Gst.Pipeline) -> str | None:
    loop = GLib.MainLoop()
    found: list[str] = []

    def on_message(_: Gst.Bus, message: Gst.Message) -> None:
        if message.type == Gst.MessageType.ERROR:
            found.append(message.parse_error()[0].message)
        if message.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS):
            loop.quit()

    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message", on_message)
    pipeline.set_state(Gst.State.PLAYING)
    try:
        loop.run()
    except KeyboardInterrupt:
        pass
    pipeline.set_state(Gst.State.NULL)
    return found[0] if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["serve", "play"])
    parser.add_argument("socket", type=Path)
    parser.add_argument("rest", nargs="*", metavar="SOURCE or SINK", help="launch line")
    options = parser.parse_args()
    Gst.init(None)
    rest = " ".join(options.rest)
    error = serve(options.socket, rest or SOURCE) if options.what == "serve" else play(options.socket, rest or SINK)
    if error:
        sys.exit(f"unix_socket.py: {error}")


if __name__ == "__main__":
    main()
