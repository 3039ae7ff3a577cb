"""Sends a clip through GStreamer's elements to RTP packets, and received packets to pictures.

The receiver stands for one whose jitter buffer is long enough: packets come in order, and repair data comes before the
packet that it repairs is given up. So a run depends on its seed alone, and not on how busy the machine is.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtp", "1.0")
from gi.repository import Gst, GstApp, GstRtp  # noqa: E402, F401 - GstApp gives appsink and appsrc their methods

Gst.init(None)

T = TypeVar("T")
MEDIA_TYPE, FEC_TYPE = 96, 122
# Longer than any clip: rtpjitterbuffer gets all packets at once here, and gives lost ones up when their time comes.
STORAGE_NS = 600 * 10**9
LATENCY_MS = 200
# For one frame; the steps of a network take milliseconds.
PATIENCE_NS = 30 * 10**9


@dataclass(frozen=True)
class Clip:
    """RGB pictures of `size` x `size` pixels, `rate` of them a second."""

    pictures: Sequence[bytes]
    size: int
    rate: int

    def times(self) -> list[int]:
        return [number * Gst.SECOND // self.rate for number in range(len(self.pictures))]

    def caps(self) -> str:
        return f"video/x-raw,format=RGB,width={self.size},height={self.size},framerate={self.rate}/1"


@dataclass(frozen=True)
class Packets:
    """RTP packets in the order in which they are sent, repair data among them."""

    buffers: Sequence[Gst.Buffer]
    caps: Gst.Caps
    segment: Gst.Segment
    fec: int
    # Of repair data that is a stream of its own.
    repair_caps: Gst.Caps | None = None

    def bytes(self) -> int:
        return sum(buffer.get_size() for buffer in self.buffers)

    def is_media(self, position: int) -> bool:
        return rtp(self.buffers[position], lambda header: header.get_payload_type()) == MEDIA_TYPE

    def frames(self) -> list[list[int]]:
        """The positions of the packets of each frame."""
        stamps = [rtp(buffer, lambda header: header.get_timestamp()) for buffer in self.buffers]
        return [list(group) for _, group in groupby(range(len(stamps)), stamps.__getitem__)]


def rtp(buffer: Gst.Buffer, read: Callable[[GstRtp.RTPBuffer], T]) -> T:
    mapped, header = GstRtp.RTPBuffer.map(buffer, Gst.MapFlags.READ)
    if not mapped:
        raise RuntimeError("a payloader gave a buffer that is no RTP packet")
    try:
        return read(header)
    finally:
        header.unmap()


def send(clip: Clip, payloader: str, fec: int) -> Packets:
    """The packets that elements, from raw video to a payloader, make of a clip, with so many percent repair data."""
    repair = f"! rtpulpfecenc pt={FEC_TYPE} percentage={fec} multipacket=true" if fec else ""
    source = f"appsrc name=source format=time caps={clip.caps()}"
    with playing(f"{source} ! {payloader} {repair} ! appsink name=sink sync=false") as pipeline:
        source, sink = pipeline.get_by_name("source"), pipeline.get_by_name("sink")
        times = clip.times()
        for time, end, picture in zip(times, [*times[1:], times[-1] * 2 - times[-2]], clip.pictures, strict=True):
            buffer = Gst.Buffer.new_wrapped(picture)
            buffer.pts, buffer.duration = time, end - time
            source.push_buffer(buffer)
        source.end_of_stream()
        samples = []
        while sample := sink.try_pull_sample(PATIENCE_NS):
            samples.append(sample)
        if not sink.is_eos():
            raise_error(pipeline)
            raise RuntimeError(f"no packet within {PATIENCE_NS // Gst.SECOND} s: {payloader}")
    return Packets([sample.get_buffer() for sample in samples], samples[0].get_caps(), samples[0].get_segment(), fec)


@dataclass(frozen=True)
class Receiver:
    """How a receiver takes packets that it knows. Both get the positions of the lost ones."""

    # With the elements from a depayloader to raw video: running times and pictures.
    receive: Callable[[Set[int], str], "Decoded"]
    # Whether the repair data brings all back, so that the receiver gets what it would without loss.
    all_repaired: Callable[[Set[int]], bool]


# rtpulpfecdec lets repair data through; rtpbin, too, has an rtpptdemux behind it that takes it out.
REPAIR = f"rtpulpfecdec name=repair pt={FEC_TYPE} ! rtpptdemux ignored-payload-types=<{FEC_TYPE}>"
STORAGE = f"rtpstorage name=storage size-time={STORAGE_NS}"
ARRIVED = "appsink name=sink sync=false async=false wait-on-eos=false"
SINK = f"video/x-raw,format=RGB ! {ARRIVED}"
Decoded = list[tuple[int, bytes]]


def receiver(packets: Packets, jitter_buffer: bool) -> Receiver:
    """For packets without repair data, or with rtpulpfecenc's."""
    chosen = receive_by_jitter_buffer if jitter_buffer else receive
    return Receiver(
        lambda lost, decoder: chosen(packets, lost, decoder),
        # In real time, repair data may come too late.
        lambda lost: bool(packets.fec) and not jitter_buffer and all_repaired(packets, lost),
    )


def receive(packets: Packets, lost: Set[int], decoder: str) -> Decoded:
    """Running times and pictures, in the order in which elements, from a depayloader to raw video, give them."""
    with arriving(packets, lost, f"{decoder} ! {SINK}") as pipeline:
        return pictures(pipeline)


def all_repaired(packets: Packets, lost: Set[int]) -> bool:
    """Whether the repair data brings all lost packets back, so that the receiver gets what it would without loss."""
    with arriving(packets, lost, ARRIVED) as pipeline:
        sink = pipeline.get_by_name("sink")
        arrived = []
        while sample := sink.try_pull_sample(PATIENCE_NS):
            arrived.append(sample.get_buffer())
    sent = [packet for at, packet in enumerate(packets.buffers) if packets.is_media(at)]
    return [content(packet) for packet in arrived] == [content(packet) for packet in sent]


def content(packet: Gst.Buffer) -> tuple[int, bool, bytes]:
    """All of a packet but its sequence number, which rtpulpfecdec changes."""
    time, marker, start = rtp(packet, lambda h: (h.get_timestamp(), h.get_marker(), h.get_header_len()))
    return time, marker, packet.extract_dup(start, packet.get_size() - start)


@contextmanager
def arriving(packets: Packets, lost: Set[int], elements: str) -> Iterator[Gst.Pipeline]:
    """A pipeline whose elements have got all packets but the lost ones that could not be repaired, and the end."""
    chain = f"identity name=entry silent=true ! {elements}"
    if packets.fec:
        # The storage is in front of the jitter buffer, which this function stands for, and the rest behind it.
        chain = f"{REPAIR} ! {chain} {STORAGE} ! fakesink async=false sync=false"
    with playing(chain) as pipeline:
        pad = feed(pipeline.get_by_name("repair" if packets.fec else "entry"), packets)
        store = feed(connect_storage(pipeline), packets) if packets.fec else None
        first = rtp(packets.buffers[0], lambda header: header.get_seq())
        for frame in packets.frames():
            if store:
                for at in frame:
                    if at not in lost:
                        push(store, packets.buffers[at])
            for at in frame:
                if at not in lost:
                    push(pad, packets.buffers[at])
                elif store:
                    pad.push_event(gone((first + at) % 2**16, packets.buffers[at].pts))
        pad.push_event(Gst.Event.new_eos())
        yield pipeline


def receive_by_jitter_buffer(packets: Packets, lost: Set[int], decoder: str) -> Decoded:
    """As `receive`, but with rtpjitterbuffer, which waits for lost packets as long as it would on a line."""
    buffer = f"rtpjitterbuffer name=buffer latency={LATENCY_MS} do-lost=true"
    repair = f"{REPAIR} !" if packets.fec else ""
    chain = f"appsrc name=line format=time ! {STORAGE} ! {buffer} ! {repair} {decoder} ! {SINK}"
    with playing(chain) as pipeline:
        if packets.fec:
            connect_storage(pipeline)
        # Without an answer for repair data, the jitter buffer drops it.
        fec = Gst.Caps.from_string(f"application/x-rtp,media=video,clock-rate=90000,payload={FEC_TYPE}")
        pipeline.get_by_name("buffer").connect(
            "request-pt-map", lambda _, payload: fec if payload == FEC_TYPE else packets.caps
        )
        line = pipeline.get_by_name("line")
        line.props.caps = packets.caps
        for at, packet in enumerate(packets.buffers):
            if at not in lost:
                copy = packet.copy_deep()
                # It arrives when it is sent. x264enc's times begin at 1,000 hours, running time at 0.
                copy.pts = copy.dts = packets.segment.to_running_time(Gst.Format.TIME, packet.pts)
                line.push_buffer(copy)
        line.end_of_stream()
        return pictures(pipeline)


def connect_storage(pipeline: Gst.Pipeline) -> Gst.Element:
    storage = pipeline.get_by_name("storage")
    pipeline.get_by_name("repair").props.storage = storage.props.internal_storage
    return storage


def pictures(pipeline: Gst.Pipeline) -> Decoded:
    """What came up to the end of the stream."""
    sink = pipeline.get_by_name("sink")
    decoded = []
    while sample := sink.try_pull_sample(PATIENCE_NS):
        buffer = sample.get_buffer()
        time = sample.get_segment().to_running_time(Gst.Format.TIME, buffer.pts)
        decoded.append((time, buffer.extract_dup(0, buffer.get_size())))
    raise_error(pipeline)
    if not sink.is_eos():
        raise RuntimeError("the decoder did not come to its end")
    return decoded


def feed(element: Gst.Element, packets: Packets) -> Gst.Pad:
    """A pad that pushes packets into an element, on the thread that calls it."""
    return link(element.get_static_pad("sink"), packets.caps, packets.segment)


def link(sink: Gst.Pad, caps: Gst.Caps, segment: Gst.Segment) -> Gst.Pad:
    pad = Gst.Pad.new(None, Gst.PadDirection.SRC)
    pad.set_active(True)
    pad.link(sink)
    pad.push_event(Gst.Event.new_stream_start("line"))
    pad.push_event(Gst.Event.new_caps(caps))
    pad.push_event(Gst.Event.new_segment(segment))
    return pad


def push(pad: Gst.Pad, packet: Gst.Buffer) -> None:
    # The packet is sent in other runs, too, and elements write into what they get. copy() gives the same buffer.
    flow = pad.push(packet.copy_deep())
    if flow not in (Gst.FlowReturn.OK, Gst.FlowReturn.EOS, Gst.FlowReturn.ERROR):
        raise RuntimeError(f"a packet was refused: {flow.value_nick}")


def gone(sequence_number: int, time: int) -> Gst.Event:
    """What a jitter buffer says when it gives a packet up."""
    fields = f"seqnum=(uint){sequence_number},timestamp=(guint64){time},duration=(guint64)0"
    structure, _ = Gst.Structure.from_string(f"GstRTPPacketLost,{fields}")
    return Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure)


@contextmanager
def playing(description: str) -> Iterator[Gst.Pipeline]:
    pipeline = Gst.parse_launch(description)
    try:
        pipeline.set_state(Gst.State.PLAYING)
        yield pipeline
    finally:
        pipeline.set_state(Gst.State.NULL)


def raise_error(pipeline: Gst.Pipeline) -> None:
    """Raises what an element said that could not go on."""
    message = pipeline.get_bus().timed_pop_filtered(0, Gst.MessageType.ERROR)
    if message:
        error, details = message.parse_error()
        raise RuntimeError(f"{message.src.get_name()}: {error.message} ({details})")
