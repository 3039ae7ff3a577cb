"""Frames at another rate: left out, or doubled between two frames, but not behind the last one."""

from fractions import Fraction

from .gstreamer import Gst

# Times that containers round differ by so much.
ROUNDING = Gst.MSECOND


class Rate:
    """`videorate`, and what it gives too much at the end: GStreamer 1.22 doubles the last frame past its end there."""

    def __init__(self, rate: Fraction) -> None:
        videorate = Gst.ElementFactory.make("videorate", "rate")
        # The first frame is the first: none is made up in front of it.
        videorate.set_property("skip-to-first", True)
        caps = Gst.ElementFactory.make("capsfilter", "caps")
        text = f"video/x-raw,framerate={rate.numerator}/{rate.denominator}"
        caps.set_property("caps", Gst.Caps.from_string(text))
        self.elements = [videorate, caps]
        self._default = round(Gst.SECOND / rate)
        self._end = 0
        pads = {videorate.get_static_pad("sink"): self._note, caps.get_static_pad("src"): self._trim}
        self._probes = [(pad, pad.add_probe(Gst.PadProbeType.BUFFER, probe)) for pad, probe in pads.items()]

    def close(self) -> None:
        """Removes what looks at frames, and would keep the elements in memory."""
        for pad, probe in self._probes:
            pad.remove_probe(probe)

    def _note(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        buffer = info.get_buffer()
        if buffer.pts != Gst.CLOCK_TIME_NONE:
            lasts = self._default if buffer.duration in (0, Gst.CLOCK_TIME_NONE) else buffer.duration
            self._end = buffer.pts + lasts
        return Gst.PadProbeReturn.OK

    def _trim(self, _pad: Gst.Pad, info: Gst.PadProbeInfo) -> Gst.PadProbeReturn:
        is_late = info.get_buffer().pts >= self._end - ROUNDING
        return Gst.PadProbeReturn.DROP if is_late else Gst.PadProbeReturn.OK
