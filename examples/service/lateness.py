"""How long after the running time of its first frame a buffer leaves an element."""

from threading import Lock
from typing import Any

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

# PyGObject (3.42) makes a class of GStreamer's when it is first used. Two threads that do so at the same time make two
# of one name. From then on a probe fails, which drops its buffer. What threads use is made here, while there is one.
MADE = (
    Gst.PadProbeInfo,
    Gst.Pad,
    Gst.Buffer,
    Gst.Event,
    Gst.Segment,
    Gst.Structure,
    Gst.Message,
    Gst.Bus,
    Gst.Pipeline,
)
HEADER, DELTA_UNIT = Gst.BufferFlags.HEADER, Gst.BufferFlags.DELTA_UNIT
PASS, SEGMENT, TIME = Gst.PadProbeReturn.OK, Gst.EventType.SEGMENT, Gst.Format.TIME
BOUNDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, float("inf"))
"""Upper bounds of the histogram's buckets, in seconds."""


class Lateness:
    """Counts lateness on one pad, in buckets; with `keeps`, also keeps each value."""

    def __init__(self, pad: Any, keeps: bool = False) -> None:
        self.buckets = [0] * len(BOUNDS)
        self.sum = 0.0
        self.values: list[tuple[float, float]] | None = [] if keeps else None
        """Running time and lateness, in seconds."""
        self._lock = Lock()
        # It holds nothing that holds the pad: Python would not find that circle.
        self._pad = pad
        self._probe = pad.add_probe(Gst.PadProbeType.BUFFER, self._passes)

    def close(self) -> None:
        if self._pad is not None:
            self._pad.remove_probe(self._probe)
            self._pad = None

    def snapshot(self) -> tuple[list[int], float]:
        with self._lock:
            return list(self.buckets), self.sum

    def _passes(self, pad: Any, info: Any) -> Any:
        buffer = info.get_buffer()
        # The end mark of a segment, which has no frames, comes when the next segment starts.
        if not (buffer.has_flags(HEADER) and buffer.has_flags(DELTA_UNIT)):
            self._take(pad, buffer.pts)
        return PASS

    def _take(self, pad: Any, pts: int) -> None:
        event = pad.get_sticky_event(SEGMENT, 0)
        now = pad.get_parent_element().get_current_running_time()
        if event is None or Gst.CLOCK_TIME_NONE in (now, pts):
            return
        due = event.parse_segment().to_running_time(TIME, pts)
        if due == Gst.CLOCK_TIME_NONE:
            return
        late = (now - due) / Gst.SECOND
        with self._lock:
            self.buckets[next(i for i, bound in enumerate(BOUNDS) if late <= bound)] += 1
            # A sum that is to be a counter does not go back.
            self.sum += max(late, 0.0)
            if self.values is not None:
                self.values.append((now / Gst.SECOND, late))
