"""The launch lines of sender and receiver, and what both processes share of GStreamer."""

import json
import sys
from dataclasses import asdict, dataclass

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstVideo  # noqa: E402, F401 - GstVideo is for the receiver

Gst.init(None)


@dataclass(frozen=True)
class Run:
    """What a run measures."""

    coder: str
    pace: str
    seconds: int
    width: int
    height: int
    fps: int
    key_interval: int
    latency: int
    send_in_time: bool
    queue: bool
    encoder: str
    decoder: str
    clip: str

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_text(text: str) -> "Run":
        return Run(**json.loads(text))


def sender(run: Run, port: int) -> str:
    """From raw video of an appsrc `camera` to UDP; `pay` takes what the encoder gives."""
    caps = f"video/x-raw,format=RGB,width={run.width},height={run.height},framerate={run.fps}/1"
    encoders = {
        "tokens": f"vidtokenc name=encoder key-interval={run.key_interval} {run.encoder} "
        "! rtpvidtokpay name=pay config-interval=-1",
        "x264": "videoconvert ! video/x-raw,format=I420 "
        f"! x264enc name=encoder tune=zerolatency key-int-max={run.key_interval or 2**30} "
        "! rtph264pay name=pay config-interval=-1 aggregate-mode=zero-latency",
    }
    # Without the deadline, udpsink adds 20 ms to the latency where it waits.
    sync = f"sync={str(run.send_in_time).lower()} processing-deadline=0"
    camera = f"appsrc name=camera is-live=true format=time max-bytes=0 caps={caps}"
    return f"{camera} ! {encoders[run.coder]} ! udpsink host=127.0.0.1 port={port} async=false {sync}"


def receiver(run: Run) -> str:
    """From UDP to a sink `screen`; `decoder` makes the pictures."""
    names = {"tokens": "VIDTOK", "x264": "H264"}
    caps = f"application/x-rtp,media=video,clock-rate=90000,encoding-name={names[run.coder]}"
    decoders = {
        "tokens": f"rtpvidtokdepay name=depay ! vidtokdec name=decoder {run.decoder} ! video/x-raw,format=RGB",
        "x264": "rtph264depay name=depay ! avdec_h264 name=decoder",
    }
    queue = "! queue max-size-buffers=0 max-size-bytes=0 max-size-time=2000000000" if run.queue else ""
    # The defaults of GStreamer's video sinks: a picture that is later is not shown.
    sync = "true max-lateness=5000000 processing-deadline=15000000 qos=true" if run.pace == "in-time" else "false"
    network = f"udpsrc name=udp port=0 caps={caps} ! rtpjitterbuffer latency={run.latency}"
    screen = f"fakesink name=screen signal-handoffs=true async=false sync={sync}"
    return f"{network} ! {decoders[run.coder]} {queue} ! {screen}"


def launch(line: str) -> Gst.Pipeline:
    """The pipeline of a launch line. Ends the process where that has a mistake, such as an unknown property."""
    try:
        return Gst.parse_launch(line)
    except GLib.Error as error:
        sys.exit(f"{sys.argv[0]}: {error.message}")


def watch(pipeline: Gst.Pipeline, timeout: int) -> None:
    """Answer messages for up to `timeout` ns. Ends the process on an error."""
    bus = pipeline.get_bus()
    while message := bus.timed_pop_filtered(timeout, Gst.MessageType.ERROR | Gst.MessageType.LATENCY):
        if message.type == Gst.MessageType.ERROR:
            pipeline.set_state(Gst.State.NULL)
            error, details = message.parse_error()
            sys.exit(f"{sys.argv[0]}: {error.message} ({details})")
        pipeline.recalculate_latency()
        timeout = 0


def declared(element: Gst.Element) -> float | None:
    """The latency in ms that elements up to this one declare."""
    query = Gst.Query.new_latency()
    known = element.get_static_pad("src").query(query)
    return query.parse_latency().min_latency / 1e6 if known else None


def stats(pipeline: Gst.Pipeline, element: str) -> dict[str, object]:
    """An element's statistics, if it has any."""
    found = pipeline.get_by_name(element)
    if not found.find_property("stats"):
        return {}
    fields = found.get_property("stats")
    names = [fields.nth_field_name(number) for number in range(fields.n_fields())]
    return {name: fields.get_value(name) for name in names if isinstance(fields.get_value(name), int | float | str)}
