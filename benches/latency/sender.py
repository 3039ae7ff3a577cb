#!/usr/bin/env python3
"""Sends numbered pictures at a steady rate, as a camera would: sender.py RUN PORT. Prints when what happened.

All times are CLOCK_MONOTONIC in ns, which the receiver's process has, too.
"""

import json
import sys
import time
from collections.abc import Sequence

import cells
import lines
from lines import Gst, Run

# For the encoder to open its network.
START_NS = 10**9


def main() -> None:
    run, port = Run.from_text(sys.argv[1]), int(sys.argv[2])
    pictures = clip(run)
    pipeline = lines.launch(lines.sender(run, port))
    encoded: list[tuple[int, int, int]] = []
    pad = pipeline.get_by_name("pay").get_static_pad("sink")
    pad.add_probe(Gst.PadProbeType.BUFFER, lambda pad, info: note(pad, info, encoded))
    pipeline.set_state(Gst.State.PLAYING)
    captured, late = film(run, pipeline, pictures)
    # The last frames are encoded, although their group is not full.
    pipeline.get_by_name("camera").emit("end-of-stream")
    pipeline.get_bus().timed_pop_filtered(Gst.SECOND, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    report = {
        "captured": captured,
        "late-ns": late,
        "encoded": frames(encoded, pipeline.base_time, run.fps, len(captured)),
        "declared-ms": lines.declared(pipeline.get_by_name("encoder")),
        "stats": lines.stats(pipeline, "encoder"),
    }
    pipeline.set_state(Gst.State.NULL)
    json.dump(report, sys.stdout)


def clip(run: Run) -> list[bytes]:
    """The clip's pictures."""
    caps = f"video/x-raw,format=RGB,width={run.width},height={run.height},pixel-aspect-ratio=1/1"
    convert = f"videoconvert ! videoscale ! {caps}"
    pipeline = Gst.parse_launch(f"filesrc name=file ! decodebin ! {convert} ! appsink name=sink sync=false")
    pipeline.get_by_name("file").set_property("location", run.clip)
    pipeline.set_state(Gst.State.PLAYING)
    pictures = []
    while sample := pipeline.get_by_name("sink").emit("try-pull-sample", 10 * Gst.SECOND):
        pictures.append(sample.get_buffer().extract_dup(0, sample.get_buffer().get_size()))
        if len(pictures) == 300:
            break
    lines.watch(pipeline, 0)
    pipeline.set_state(Gst.State.NULL)
    if not pictures:
        sys.exit(f"sender.py: {run.clip}: no pictures")
    return pictures


def film(run: Run, pipeline: Gst.Pipeline, pictures: Sequence[bytes]) -> tuple[list[int], list[int]]:
    """Push pictures in real time. Gives when each was captured, and how much later than planned that was."""
    camera, captured, late = pipeline.get_by_name("camera"), [], []
    # On the clock of the pipeline: a frame's running time is that of its capture.
    start = time.monotonic_ns() + START_NS
    for number in range(run.seconds * run.fps):
        due = start + number * Gst.SECOND // run.fps
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        now = time.monotonic_ns()
        buffer = Gst.Buffer.new_wrapped(cells.draw(pictures[number % len(pictures)], run.width, number))
        buffer.pts = due - pipeline.base_time
        buffer.duration = Gst.SECOND // run.fps
        if camera.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
            break
        captured.append(now)
        late.append(now - due)
        lines.watch(pipeline, 0)
    return captured, late


def note(pad: Gst.Pad, info: Gst.PadProbeInfo, encoded: list[tuple[int, int, int]]) -> Gst.PadProbeReturn:
    """Keep the running time and duration of what the encoder gives, and when."""
    now, buffer = time.monotonic_ns(), info.get_buffer()
    segment = pad.get_sticky_event(Gst.EventType.SEGMENT, 0).parse_segment()
    encoded.append((segment.to_running_time(Gst.Format.TIME, buffer.pts), buffer.duration, now))
    return Gst.PadProbeReturn.OK


def frames(encoded: list[tuple[int, int, int]], base: int, fps: int, count: int) -> list[tuple[int, int, int]]:
    """When each buffer left the encoder, its first frame, and how many it has."""
    if not encoded:
        return []
    first = encoded[0][0]
    return [(now, round((at - first) * fps / 1e9), max(1, round(length * fps / 1e9))) for at, length, now in encoded]


if __name__ == "__main__":
    main()
