#!/usr/bin/env python3
"""Runs many cameras in one process: video to tokens to the network, or tokens from the network to pictures.

    ./service.py [--port 8080] [--output FOLDER] [CAMERAS.toml]

    curl http://127.0.0.1:8080/cameras
    curl http://127.0.0.1:8080/cameras --json '{"name": "door", "source": "rtsp://192.0.2.1/1", "port": 5004}'
    curl -X DELETE http://127.0.0.1:8080/cameras/door
    curl http://127.0.0.1:8080/metrics

settings.py has all settings of a camera. Whoever may connect to the port on this machine decides on cameras.

Needs, by their names on Debian: python3-gi, gir1.2-gst-plugins-base-1.0; the package of requirements.txt; and the
plugin in GST_PLUGIN_PATH.
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from threading import Thread

# The plugin's own rule: programs that this project brings send no telemetry, unless the user says so.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from fleet import Fleet, Taken  # noqa: E402
from settings import SettingsError, read_file  # noqa: E402
from web import Server  # noqa: E402

ELEMENTS = {
    "vidtokenc": "set GST_PLUGIN_PATH to the folder of libgstvidtok.so",
    "rtpjitterbuffer": "install gstreamer1.0-plugins-good",
    "uridecodebin": "install gstreamer1.0-plugins-base",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8080, help="TCP port for HTTP (8080; 0: any free one)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where cameras may write files")
    parser.add_argument("cameras", nargs="?", type=Path, help="a TOML or JSON file with cameras to begin with")
    options = parser.parse_args()
    Gst.init(None)
    for element, way_out in ELEMENTS.items():
        if Gst.ElementFactory.find(element) is None:
            sys.exit(f"service.py: GStreamer does not find {element}: {way_out}")
    if options.output is not None and not options.output.is_dir():
        sys.exit(f"service.py: {options.output} is no folder")
    # Before there are threads, so that no other one is interrupted.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    fleet = Fleet(options.output)
    try:
        cameras = read_file(options.cameras) if options.cameras else []
        # Before cameras start: another service may have the port, and write the files.
        server = Server(options.port, fleet)
        for settings in cameras:
            fleet.add(settings)
    except (SettingsError, Taken, OSError, OverflowError) as error:
        fleet.close()
        sys.exit(f"service.py: {error}")
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_port}/cameras", flush=True)
    signal.sigwait(signals)
    server.shutdown()
    fleet.close()


if __name__ == "__main__":
    main()
