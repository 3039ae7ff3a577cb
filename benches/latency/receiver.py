#!/usr/bin/env python3
"""Receives numbered pictures until its input ends: receiver.py RUN. Prints its port, then when what happened.

All times are CLOCK_MONOTONIC in ns, which the sender's process has, too.
"""

import json
import sys
import threading
import time

import cells
import lines
from lines import Gst, GstVideo, Run


class Receiver:
    def __init__(self, run: Run) -> None:
        self.pipeline = lines.launch(lines.receiver(run))
        self.width = run.width
        # Of each picture: its number or None, and when it was shown.
        self.shown: list[tuple[int | None, int, int, int]] = []
        self.came = 0
        # By PTS: when the tokens came to the decoder, and when the picture left it.
        self.decoded: dict[int, tuple[int, int]] = {}
        decoder = self.pipeline.get_by_name("decoder")
        decoder.get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, self.on_input)
        decoder.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, self.on_picture)
        self.pipeline.get_by_name("screen").connect("handoff", self.on_shown)

    def on_input(self, _: Gst.Pad, __: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        self.came = time.monotonic_ns()
        return Gst.PadProbeReturn.OK

    def on_picture(self, _: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        self.decoded[info.get_buffer().pts] = (self.came, time.monotonic_ns())
        return Gst.PadProbeReturn.OK

    def on_shown(self, _: Gst.Element, buffer: Gst.Buffer, pad: Gst.Pad) -> None:
        """Called behind the sink's wait."""
        now = time.monotonic_ns()
        is_rgb = pad.get_current_caps().get_structure(0).get_string("format") == "RGB"
        meta = GstVideo.buffer_get_video_meta(buffer)
        pixel = 3 if is_rgb else 1
        stride, start = (meta.stride[0], meta.offset[0]) if meta else (self.width * pixel, 0)
        # Green, or luma; the number is in the upper rows.
        first = start + (1 if is_rgb else 0)
        data = buffer.extract_dup(first, cells.HEIGHT * stride)
        came, decoded = self.decoded.pop(buffer.pts, (now, now))
        self.shown.append((cells.read(data, stride, pixel), came, decoded, now))


def main() -> None:
    receiver = Receiver(Run.from_text(sys.argv[1]))
    pipeline = receiver.pipeline
    pipeline.set_state(Gst.State.PLAYING)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print(pipeline.get_by_name("udp").get_property("port"), flush=True)
    while not ended.is_set():
        lines.watch(pipeline, Gst.SECOND // 10)
    screen = pipeline.get_by_name("screen").get_property("stats")
    report = {
        "declared-ms": lines.declared(pipeline.get_by_name("decoder")),
        "too-late": screen.get_value("dropped"),
        "stats": lines.stats(pipeline, "decoder"),
        "depay": lines.stats(pipeline, "depay"),
    }
    pipeline.set_state(Gst.State.NULL)
    json.dump(report | {"shown": receiver.shown}, sys.stdout)


if __name__ == "__main__":
    main()
