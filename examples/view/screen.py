"""Where the viewer's pictures go: a window, or a file."""

import os
import sys
from pathlib import Path
from typing import Protocol

from drawing import Canvas
from gstreamer import Gst, StreamError, error_of, launch
from layout import Layout

INSTEAD = "use --sink, such as --sink kmssink, or --headless and --out"


class Screen(Protocol):
    def show(self, canvas: Canvas, time: float) -> None: ...

    def wants_to_end(self) -> bool: ...

    def close(self) -> None: ...


def _caps(layout: Layout, framerate: str) -> Gst.Caps:
    size = f"width={layout.width},height={layout.height},pixel-aspect-ratio=1/1"
    return Gst.Caps.from_string(f"video/x-raw,format=BGRx,{size},framerate={framerate}")


class Window:
    """A pipeline of its own, so that a window that is slow holds up nothing: pictures make way for newer ones."""

    def __init__(self, sink: str | None) -> None:
        """`sink`: launch line of the sink; None: a window on the desktop."""
        desktop = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ or sys.platform != "linux"
        if sink is None and not desktop:
            # Some sinks that would then be tried crash (dfbvideosink of GStreamer 1.22).
            raise StreamError(f"there is no desktop (DISPLAY, WAYLAND_DISPLAY); {INSTEAD}")
        line = "appsrc name=in is-live=true format=time do-timestamp=true max-buffers=2 leaky-type=downstream"
        self._pipeline = launch(f"{line} ! videoconvert ! videoscale ! {sink or 'autovideosink sync=false'}")
        self._source = self._pipeline.get_by_name("in")
        self._layout: Layout | None = None
        self._ends = False
        # What is typed in the window comes up the pipeline.
        self._source.get_static_pad("src").add_probe(Gst.PadProbeType.EVENT_UPSTREAM, self._on_event)
        failed = self._pipeline.set_state(Gst.State.PLAYING) == Gst.StateChangeReturn.FAILURE
        # What autovideosink chooses where no sink works.
        nothing = self._pipeline.iterate_all_by_element_factory_name("fakesink").next()[0] == Gst.IteratorResult.OK
        if failed or sink is None and nothing:
            message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
            why = error_of(message) if message else "no video sink works; for X11, install gstreamer1.0-x"
            self.close()
            raise StreamError(f"there is no window to draw in ({why}); {INSTEAD}")

    def _on_event(self, _: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        event = info.get_event()
        if event.type == Gst.EventType.NAVIGATION:
            what = event.get_structure()
            if what.get_string("event") == "key-press" and what.get_string("key") in ("q", "Q", "Escape"):
                self._ends = True
        return Gst.PadProbeReturn.OK

    def show(self, canvas: Canvas, time: float) -> None:
        if self._layout != canvas.layout:
            self._layout = canvas.layout
            self._source.set_property("caps", _caps(canvas.layout, "0/1"))
        self._source.emit("push-buffer", Gst.Buffer.new_wrapped(canvas.bytes()))

    def wants_to_end(self) -> bool:
        message = self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        if message:
            error, _ = message.parse_error()
            # Sinks report so that their window was closed.
            if not error.matches(Gst.ResourceError.quark(), Gst.ResourceError.NOT_FOUND):
                raise StreamError(f"the window: {error_of(message)}; {INSTEAD}")
            self._ends = True
        return self._ends

    def close(self) -> None:
        self._pipeline.set_state(Gst.State.NULL)


class Film:
    """A video file of what would be on the screen."""

    def __init__(self, path: Path) -> None:
        encoder = "x264enc speed-preset=veryfast pass=qual quantizer=20 ! video/x-h264,profile=high"
        line = f"appsrc name=in format=time block=true max-buffers=4 ! videoconvert ! {encoder} ! h264parse ! mp4mux"
        self._pipeline = launch(f"{line} ! filesink name=out")
        self._pipeline.get_by_name("out").set_property("location", str(path))
        self._source = self._pipeline.get_by_name("in")
        self._path = path
        self._first: float | None = None
        self._caps_set = False
        self._pipeline.set_state(Gst.State.PLAYING)
        self._fail()

    def _fail(self) -> None:
        if message := self._pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR):
            self._pipeline.set_state(Gst.State.NULL)
            raise StreamError(f"{self._path}: {error_of(message)}")

    def show(self, canvas: Canvas, time: float) -> None:
        if not self._caps_set:
            self._source.set_property("caps", _caps(canvas.layout, "30/1"))
            self._caps_set = True
        self._first = time if self._first is None else self._first
        buffer = Gst.Buffer.new_wrapped(canvas.bytes())
        buffer.pts = int(max(time - self._first, 0) * Gst.SECOND)
        self._source.emit("push-buffer", buffer)
        self._fail()

    def wants_to_end(self) -> bool:
        return False

    def close(self) -> None:
        self._source.emit("end-of-stream")
        ends = Gst.MessageType.EOS | Gst.MessageType.ERROR
        message = self._pipeline.get_bus().timed_pop_filtered(30 * Gst.SECOND, ends)
        self._pipeline.set_state(Gst.State.NULL)
        if not message or message.type == Gst.MessageType.ERROR:
            raise StreamError(f"{self._path}: {error_of(message) if message else 'it could not be ended'}")


class Still:
    """A PNG of the last picture."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, None

    def show(self, canvas: Canvas, time: float) -> None:
        self._last = canvas

    def wants_to_end(self) -> bool:
        return False

    def close(self) -> None:
        if self._last:
            try:
                self._last.write(str(self._path))
            except OSError as error:
                raise StreamError(f"{self._path}: {error.strerror}") from error
