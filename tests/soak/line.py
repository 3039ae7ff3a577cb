"""A sender and a receiver of tokens over RTP, in one process, and what is done to them."""

import random
from collections.abc import Callable
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402

from ledger import RTP_PREFIX, Ledger  # noqa: E402

# The caps fit into a packet, and latent frames of the larger pictures need several.
MTU = 700
KEY_INTERVAL = 120
SENDER = f"""
    videotestsrc name=source is-live=true pattern=ball ! capsfilter name=caps ! queue !
    vidtokenc name=encoder threads=1 key-interval={KEY_INTERVAL} !
    rtpvidtokpay name=payloader config-interval=-1 mtu={MTU} ! identity name=line !
    udpsink name=sink host=127.0.0.1
"""
RECEIVER = """
    udpsrc name=source port=0 caps=application/x-rtp,media=video,clock-rate=90000,encoding-name=VIDTOK !
    rtpjitterbuffer latency=100 ! rtpvidtokdepay name=depayloader !
    queue ! vidtokdec name=decoder threads=1 ! fakesink name=sink sync=true
"""
# A stream header and a packet header.
TOKEN_PREFIX = 2048
# A packet in ten of those that ask for a segment start does not arrive.
REQUESTS_LOST = 0.1
PROBE = Gst.PadProbeType
# PyGObject (3.42) makes a class of GStreamer's when it is first used, and two threads at the same time make two, which
# do not fit together. What probes use is made here, while there is one thread.
MADE = (Gst.PadProbeInfo, Gst.PadProbeReturn.OK, Gst.Pad, Gst.Buffer, Gst.BufferFlags.HEADER, Gst.Event)
MADE += (Gst.EventType.CAPS, Gst.CustomMeta, Gst.Structure)


class Line:
    def __init__(self, seed: int, ledger: Ledger) -> None:
        self.ledger = ledger
        self.share, self.burst = 0.0, 0
        self.requests_lost = 0
        self._is_gap = False
        self._probes: list[tuple[Any, int]] = []
        self._draw, self._requests = random.Random(seed), random.Random(seed + 1)
        self.sender, self.receiver = Gst.parse_launch(SENDER), Gst.parse_launch(RECEIVER)
        self.set_caps((64, 64), 30)
        sender, receiver = self.sender, self.receiver
        self._probe(sender, "encoder", "sink", PROBE.BUFFER, self._enters)
        self._probe(sender, "caps", "src", PROBE.BUFFER, self._leaves_source)
        self._probe(sender, "line", "src", PROBE.BUFFER, self._leaves)
        self._probe(receiver, "depayloader", "sink", PROBE.BUFFER, self._arrives)
        self._probe(receiver, "depayloader", "sink", PROBE.EVENT_UPSTREAM, self._is_asked)
        self._probe(receiver, "depayloader", "src", PROBE.BUFFER, self._is_put_out)
        self._probe(receiver, "depayloader", "src", PROBE.EVENT_DOWNSTREAM, self._is_announced)
        self._probe(receiver, "sink", "sink", PROBE.BUFFER, self._is_shown)

    def _probe(self, pipeline: Any, name: str, pad: str, kind: Any, react: Callable[[Any], bool]) -> None:
        def probe(_pad: Any, info: Any) -> Any:
            return Gst.PadProbeReturn.OK if react(info) else Gst.PadProbeReturn.DROP

        watched = pipeline.get_by_name(name).get_static_pad(pad)
        self._probes.append((watched, watched.add_probe(kind, probe)))

    # What the probes see. All run on streaming threads.

    def _leaves_source(self, info: Any) -> bool:
        if not self._is_gap:
            return True
        buffer = info.get_buffer()
        source = self.sender.get_by_name("caps").get_static_pad("src")
        source.push_event(Gst.Event.new_gap(buffer.pts, buffer.duration))
        return False

    def _enters(self, info: Any) -> bool:
        self.ledger.counts["frames"] += 1
        return True

    def _leaves(self, info: Any) -> bool:
        is_dropped = self.burst > 0 or self._draw.random() < self.share
        self.burst = max(self.burst - 1, 0)
        self.ledger.sent(info.get_buffer().extract_dup(0, RTP_PREFIX), is_dropped)
        return not is_dropped

    def _arrives(self, info: Any) -> bool:
        self.ledger.arrived(info.get_buffer().extract_dup(0, RTP_PREFIX))
        return True

    def _is_asked(self, info: Any) -> bool:
        """Carries a receiver's wish to the sender, as RTCP would."""
        event = info.get_event()
        if GstVideo.video_event_is_force_key_unit(event):
            if self._requests.random() < REQUESTS_LOST:
                self.requests_lost += 1
            else:
                self.ask_for_key()
        return True

    def _is_put_out(self, info: Any) -> bool:
        buffer = info.get_buffer()
        flags = buffer.get_flags()
        # The end mark of a segment has no frames.
        if not (flags & Gst.BufferFlags.HEADER and flags & Gst.BufferFlags.DELTA_UNIT):
            meta = buffer.get_custom_meta("GstVidtokConcealed")
            concealed = None if meta is None else meta.get_structure().get_uint("cells")[1]
            discont = bool(flags & Gst.BufferFlags.DISCONT)
            time = (buffer.pts, buffer.pts + buffer.duration)
            self.ledger.put_out(buffer.extract_dup(0, TOKEN_PREFIX), time, concealed, discont)
        return True

    def _is_announced(self, info: Any) -> bool:
        if info.get_event().type == Gst.EventType.CAPS:
            self.ledger.new_format()
        return True

    def _is_shown(self, info: Any) -> bool:
        buffer = info.get_buffer()
        time = None if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts
        self.ledger.shown(time, bool(buffer.get_flags() & Gst.BufferFlags.CORRUPTED))
        return True

    # What is done to the line.

    def ask_for_key(self) -> None:
        event = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
        self.sender.get_by_name("payloader").get_static_pad("src").send_event(event)

    def set_caps(self, size: tuple[int, int], rate: int) -> None:
        text = f"video/x-raw,format=I420,width={size[0]},height={size[1]},framerate={rate}/1"
        self.sender.get_by_name("caps").set_property("caps", Gst.Caps.from_string(text))

    def set_gap(self, is_gap: bool) -> None:
        self._is_gap = is_gap

    def play(self) -> None:
        self.receiver.set_state(Gst.State.PAUSED)
        port = self.receiver.get_by_name("source").get_property("port")
        self.sender.get_by_name("sink").set_property("port", port)
        for pipeline in (self.receiver, self.sender):
            pipeline.set_state(Gst.State.PLAYING)

    def close(self) -> None:
        """Stops, and lets go of all elements: Python does not find a probe that holds the pipeline that holds it."""
        for pipeline in (self.sender, self.receiver):
            pipeline.set_state(Gst.State.NULL)
        for pad, number in self._probes:
            pad.remove_probe(number)
        self._probes.clear()
        del self.sender, self.receiver

    def stats(self, pipeline: Any, name: str) -> dict[str, int]:
        fields = pipeline.get_by_name(name).get_property("stats")
        names = [fields.nth_field_name(i) for i in range(fields.n_fields())]
        return {name: fields.get_value(name) for name in names}
