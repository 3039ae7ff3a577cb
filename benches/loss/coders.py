"""What is compared: tokens, and H.264 at the tokens' bit rate, with the same packet size and the same key frames."""

from collections.abc import Callable
from dataclasses import dataclass

import raptor
from bitrate import matching
from transport import MEDIA_TYPE, Clip, Packets, Receiver, send

# Some 40 bytes for a packet's RTP header, and for what a payload format adds to a slice.
SLICE_ROOM = 40


@dataclass(frozen=True)
class Coder:
    """Packets of a clip, with so many percent repair data, and the elements that make pictures of them."""

    encode: Callable[[int], Packets]
    decoder: str
    # `None`: as packets without repair data, or with rtpulpfecenc's.
    receiver: Callable[[Packets], Receiver] | None = None


def tokens(clip: Clip, key_interval: int, mtu: int, on_lost_start: str = "conceal") -> Coder:
    payloader = f"rtpvidtokpay mtu={mtu} pt={MEDIA_TYPE}"
    return Coder(
        lambda fec: send(clip, f"vidtokenc key-interval={key_interval} threads=1 ! {payloader}", fec),
        f"rtpvidtokdepay on-lost-start={on_lost_start} ! vidtokdec threads=1",
    )


def tokens_raptorq(clip: Clip, key_interval: int, mtu: int) -> Coder:
    plain = tokens(clip, key_interval, mtu)
    return Coder(lambda fec: raptor.protect(plain.encode(0), fec), plain.decoder, raptor.receiver)


def h264(clip: Clip, key_interval: int, mtu: int) -> Coder:
    """x264 as it is set for calls, in slices of a packet's size, so that a packet decodes without its neighbours."""
    wanted = tokens(clip, key_interval, mtu).encode(0).bytes()

    def encode(rate: int, fec: int) -> Packets:
        return send(clip, f"{x264(key_interval, mtu, rate)} ! rtph264pay mtu={mtu} pt={MEDIA_TYPE} {AGGREGATE}", fec)

    rate = matching(wanted, round(wanted * 8 * clip.rate / len(clip.pictures) / 1000), lambda r: encode(r, 0).bytes())
    return Coder(
        lambda fec: encode(rate, fec),
        "rtph264depay ! h264parse ! avdec_h264 max-threads=1 ! videoconvert",
    )


# Parameter sets travel with the first slice of each key frame.
AGGREGATE = "config-interval=-1 aggregate-mode=zero-latency"


def x264(key_interval: int, mtu: int, rate: int) -> str:
    """`rate`: kbit/s. Key frames come only where they are asked for, as segments do."""
    # 0 would be x264's own default.
    interval = key_interval or 2**30
    options = f"slice-max-size={mtu - SLICE_ROOM}:scenecut=0"
    return (
        "videoconvert ! video/x-raw,format=I420"
        f" ! x264enc tune=zerolatency speed-preset=medium threads=1 bitrate={rate} key-int-max={interval}"
        # rtpulpfecenc would make it choose another profile.
        f" option-string={options} ! video/x-h264,profile=high"
    )
