"""The pipeline of a camera. Nothing that a person or a program wrote is part of a launch line."""

from pathlib import Path
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

from settings import Settings  # noqa: E402

# A second of pictures or packets, however large. What waits longer for the encoder, that drops and counts.
QUEUE = "queue max-size-bytes=0 max-size-buffers=0 max-size-time=1000000000"
TEST_SOURCE = "videotestsrc name=source is-live=true pattern=ball ! capsfilter name=video"
CAMERA_SOURCE = "v4l2src name=source ! capsfilter name=video ! decodebin ! videoconvert"
# Features of any memory: with plain caps, decoders of H.264 are not found (GStreamer 1.22).
URI_SOURCE = "uridecodebin name=source expose-all-streams=false caps=video/x-raw(ANY)"
# What waits longer than this for the network is dropped, and not sent. In ns.
MAX_LATENESS = 500_000_000
RTP_CAPS = "application/x-rtp,media=video,encoding-name=VIDTOK,clock-rate=90000"


class Missing(RuntimeError):
    """Something that the pipeline needs is not installed."""


def build(settings: Settings, folder: Path | None, appends: bool = False) -> Any:
    """The pipeline of a camera, in the state NULL. `folder`: for files. `appends`: to what is in the file."""
    pipeline = Gst.parse_launch(receiver(settings) if settings.kind == "receive" else sender(settings))
    pipeline.set_name(settings.name)
    if settings.kind == "receive":
        receive(pipeline, settings)
    else:
        send(pipeline, settings, folder, appends)
    return pipeline


def sender(settings: Settings) -> str:
    if settings.source == "test":
        source = TEST_SOURCE
    elif settings.source.startswith("/dev/"):
        source = CAMERA_SOURCE
    elif settings.source.startswith("file:"):
        # At the file's own speed.
        source = f"{URI_SOURCE} ! clocksync"
    else:
        source = URI_SOURCE
    # Packets leave when the declared latency is over. The first frame of a segment is encoded alone, and earlier than
    # groups are: a receiver would take it that all others come late. With the queue, the encoder does not wait with it.
    sink = "udpsink name=sink sync=true async=false processing-deadline=0"
    out = f"rtpvidtokpay config-interval=-1 ! {QUEUE} ! {sink}"
    if settings.file:
        out = "filesink name=sink sync=false async=false buffer-mode=unbuffered"
    return f"{source} ! {QUEUE} ! vidtokenc name=encoder ! {out}"


def receiver(settings: Settings) -> str:
    sink = "videoconvert ! autovideosink" if settings.screen else "fakesink sync=true qos=true"
    # The sink waits for the time of each picture. Without a queue in front of it, the decoder would wait with it, and
    # begin each step when the last picture of the step before is shown.
    return (
        f"udpsrc name=source caps={RTP_CAPS} ! rtpjitterbuffer name=jitter ! rtpvidtokdepay name=depayloader ! "
        f"queue ! vidtokdec name=decoder ! {QUEUE} ! {sink}"
    )


def send(pipeline: Any, settings: Settings, folder: Path | None, appends: bool) -> None:
    source, encoder, sink = (pipeline.get_by_name(name) for name in ("source", "encoder", "sink"))
    video = pipeline.get_by_name("video")
    if video is not None:
        video.set_property("caps", video_caps(settings))
    if settings.source.startswith("/dev/"):
        source.set_property("device", settings.source)
    elif settings.source != "test":
        source.set_property("uri", settings.source)
    set_network(encoder, settings)
    encoder.set_property("key-interval", settings.key_interval)
    if settings.size:
        encoder.set_property("size", settings.size)
    Gst.util_set_object_arg(encoder, "overload", "drop-groups")
    encoder.set_property("max-lateness", MAX_LATENESS)
    if settings.file:
        if folder is None:
            raise Missing("there is no folder for files: start the service with --output FOLDER")
        sink.set_property("location", str(folder / settings.file))
        sink.set_property("append", appends)
    else:
        sink.set_property("host", settings.host)
        sink.set_property("port", settings.port)


def receive(pipeline: Any, settings: Settings) -> None:
    source = pipeline.get_by_name("source")
    source.set_property("port", settings.port)
    # Of two receivers of a port, one would get nothing, and not know.
    source.set_property("reuse", False)
    pipeline.get_by_name("jitter").set_property("latency", settings.jitter_ms)
    set_network(pipeline.get_by_name("decoder"), settings)


def set_network(element: Any, settings: Settings) -> None:
    element.set_property("threads", settings.threads)
    if settings.model:
        element.set_property("model", settings.model)


def video_caps(settings: Settings) -> Any:
    """What a camera or the test picture shall be like."""
    size = (settings.width, settings.height)
    if settings.source == "test":
        size = (settings.width or 256, settings.height or 256)
    wanted = {"width": size[0], "height": size[1]}
    fields = "".join(f",{name}={value}" for name, value in wanted.items() if value)
    if settings.framerate or settings.source == "test":
        fields += f",framerate={settings.framerate or 30}/1"
    if settings.source == "test":
        return Gst.Caps.from_string(f"video/x-raw,format=I420{fields}")
    return Gst.Caps.from_string(f"video/x-raw{fields};image/jpeg{fields}")
