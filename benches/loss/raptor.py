"""Repair data by RaptorQ (RFC 6330, RFC 6681): the elements raptorqenc and raptorqdec of gst-plugins-rs.

Each latent frame is a block of its own, so that its repair data comes right behind it.
"""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import replace

from transport import FEC_TYPE, Gst, Packets, Receiver, content, feed, link, playing, push, raise_error, receive

# raptorqenc sends repair data on a thread of its own.
PATIENCE_NS = 30 * Gst.SECOND
SINK = "appsink name=sink sync=false async=false"
# In front of a packet, its symbol has three bytes; a symbol is a multiple of 8 bytes.
SYMBOL_HEADER, SYMBOL_UNIT = 3, 8


def protect(packets: Packets, percent: int) -> Packets:
    """Packets with so many percent repair packets behind each frame. All frames have the same number of packets."""
    frames = packets.frames()
    protected = len(frames[0])
    if any(len(frame) != protected for frame in frames):
        raise RuntimeError("raptorqenc protects a fixed number of packets, and the frames have different numbers")
    repair = max(1, round(protected * percent / 100))
    longest = max(buffer.get_size() for buffer in packets.buffers)
    # One symbol a packet. No window: repair packets are sent at once.
    symbol = -(-(longest + SYMBOL_HEADER) // SYMBOL_UNIT) * SYMBOL_UNIT
    options = f"mtu={longest} symbol-size={symbol} repair-window=0 pt={FEC_TYPE}"
    options += f" protected-packets={protected} repair-packets={repair}"
    buffers = []
    with started(f"raptorqenc name=code {options} ! fakesink async=false sync=false code.fec_0 ! {SINK}") as pipeline:
        pad, sink = feed(pipeline.get_by_name("code"), packets), pipeline.get_by_name("sink")
        for frame in frames:
            for at in frame:
                push(pad, packets.buffers[at])
                buffers.append(packets.buffers[at])
            for _ in range(repair):
                sample = sink.try_pull_sample(PATIENCE_NS)
                if not sample:
                    raise_error(pipeline)
                    raise RuntimeError("raptorqenc gave no repair packet")
                buffers.append(sample.get_buffer())
        repair_caps = sample.get_caps()
    return replace(packets, buffers=buffers, fec=percent, repair_caps=repair_caps)


def receiver(packets: Packets) -> Receiver:
    """Receives as without repair data, but with what raptorqdec brings back of it."""
    media = [at for at in range(len(packets.buffers)) if packets.is_media(at)]
    plain = replace(packets, buffers=[packets.buffers[at] for at in media], fec=0)

    def missing(lost: Set[int]) -> frozenset[int]:
        came = set(delivered(packets, lost))
        return frozenset(number for number, packet in enumerate(plain.buffers) if content(packet) not in came)

    return Receiver(
        lambda lost, decoder: receive(plain, missing(lost), decoder),
        lambda lost: not missing(lost),
    )


def delivered(packets: Packets, lost: Set[int]) -> Iterator[tuple[int, bool, bytes]]:
    """What of each packet comes out of raptorqdec: it gives what came, and what the repair data brings back."""
    with started(f"raptorqdec name=code ! {SINK}") as pipeline:
        code, sink = pipeline.get_by_name("code"), pipeline.get_by_name("sink")
        media = feed(code, packets)
        repair = link(code.request_pad_simple("fec_0"), packets.repair_caps, packets.segment)
        for at, packet in enumerate(packets.buffers):
            if at not in lost:
                push(media if packets.is_media(at) else repair, packet)
        # What raptorqdec gives, it gives on this thread.
        while sample := sink.try_pull_sample(0):
            yield content(sample.get_buffer())
        raise_error(pipeline)


@contextmanager
def started(description: str) -> Iterator[Gst.Pipeline]:
    """A pipeline that plays: these elements lose what comes before."""
    with playing(description) as pipeline:
        pipeline.get_state(Gst.CLOCK_TIME_NONE)
        yield pipeline
