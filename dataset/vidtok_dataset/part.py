"""A part of a video: the frames from its start on, and before its end.

Times are GStreamer's stream time, which players show. A seek goes to a key frame well before the start, and frames are
counted out here: decoders cut the times of frames at a seek's border, and need frames from before it.
"""

from collections.abc import Callable

from .damage import Damage
from .gstreamer import Gst
from .sources import Clip

# So far before the start, decoders begin: frames of an open GOP need those of the one before.
LEAD = 2 * Gst.SECOND
FIRST_FRAME, LANDED_LATE = "first-frame", "landed-late"


class Part:
    """Lets the frames of a clip's part through a pad."""

    def __init__(self, clip: Clip, may_seek: bool, damage: Damage, tell: Callable[[str], None]) -> None:
        """`tell`: says `FIRST_FRAME` when `seek` is to be called, and `LANDED_LATE` where the seek went too far."""
        self._start = round((clip.start or 0.0) * Gst.SECOND)
        self._end = None if clip.end is None else round(clip.end * Gst.SECOND)
        self._seeks = may_seek and self._start > LEAD
        self._damage, self._tell = damage, tell
        self._pad: Gst.Pad | None = None
        self._probe = self._block = 0
        self._is_first, self._has_told, self._has_ended = True, False, False

    def attach(self, pad: Gst.Pad) -> None:
        """`pad`: gives decoded frames."""
        self._pad = pad
        self._probe = pad.add_probe(Gst.PadProbeType.BUFFER, self._take)
        if self._seeks:
            self._block = pad.add_probe(Gst.PadProbeType.BLOCK_DOWNSTREAM, self._wait)

    def close(self) -> None:
        """Removes what looks at frames, and would keep the pad in memory."""
        if self._pad is not None and self._probe:
            self._pad.remove_probe(self._probe)
        self._pad = None

    def seek(self) -> bool:
        """Goes to the part, and lets frames come. Returns whether the video can be sought in."""
        assert self._pad is not None
        flags = Gst.SeekFlags.FLUSH | Gst.SeekFlags.KEY_UNIT | Gst.SeekFlags.SNAP_BEFORE
        place = (Gst.SeekType.SET, self._start - LEAD, Gst.SeekType.NONE, -1)
        done = self._pad.send_event(Gst.Event.new_seek(1.0, Gst.Format.TIME, flags, *place))
        self._pad.remove_probe(self._block)
        return done

    def _wait(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        if not info.type & Gst.PadProbeType.BUFFER:
            return Gst.PadProbeReturn.PASS
        # The first frame behind the seek may come here, too, before the probe is removed.
        if not self._has_told:
            self._has_told = True
            self._tell(FIRST_FRAME)
        return Gst.PadProbeReturn.OK

    def _take(self, pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        time = _stream_time(pad, info.get_buffer())
        if self._is_first and time is not None:
            self._is_first = False
            if self._seeks and time > self._start:
                self._seeks, self._has_ended = False, True
                self._tell(LANDED_LATE)
        if self._has_ended:
            return Gst.PadProbeReturn.DROP
        if time is not None and time < self._start:
            # What decoders say of frames before the part.
            self._damage.clear()
            return Gst.PadProbeReturn.DROP
        if time is not None and self._end is not None and time >= self._end:
            self._has_ended = True
            # Past the pad: it would refuse the frames that decoders still give, which some of them take for an error.
            pad.get_peer().send_event(Gst.Event.new_eos())
            return Gst.PadProbeReturn.DROP
        if self._end is None:
            # All that come now belong to the part: they need not be looked at.
            self._probe = 0
            return Gst.PadProbeReturn.REMOVE
        self._damage.mark()
        return Gst.PadProbeReturn.OK


def _stream_time(pad: Gst.Pad, buffer: Gst.Buffer) -> int | None:
    event = pad.get_sticky_event(Gst.EventType.SEGMENT, 0)
    if event is None or buffer.pts == Gst.CLOCK_TIME_NONE:
        return None
    time = event.parse_segment().to_stream_time(Gst.Format.TIME, buffer.pts)
    return None if time == Gst.CLOCK_TIME_NONE else time
