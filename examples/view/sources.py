"""What an address means, and the launch line for it. Text only."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

# What a sender's caps say at least; with `config-interval`, its packets say the rest (docs/rtp.md).
RTP_CAPS = "application/x-rtp,media=video,clock-rate=90000,encoding-name=VIDTOK"
# Frames that wait for the encoder. More of them would only add latency.
QUEUED = 8
# Of a live source, frames that are later than this are left out, as showing them would make all others late, too.
MAX_LATENESS = 300_000_000
# Of a network's stream, tokens that wait for the decoder, in nanoseconds. A burst of the network is shorter.
BEHIND = 500_000_000


class AddressError(Exception):
    """What is wrong with an address, for the user."""


@dataclass(frozen=True)
class Source:
    """An address: where pictures or tokens come from."""

    address: str
    line: str
    """The launch line up to pictures, or, of a `network` or `stored` source, up to tokens."""
    live: bool = False
    network: bool = False
    """Tokens by RTP: there are no original pictures, and nobody may be there."""
    stored: bool = False
    """Tokens of a file."""
    location: str = ""
    """What element `source` reads; not in the line, where it would have to be quoted."""
    caps: str = ""

    @property
    def has_original(self) -> bool:
        return not (self.network or self.stored)

    @property
    def patience(self) -> float:
        """Seconds without a picture after which something is said of it."""
        return 2.0 if self.network else 5.0


def source(address: str, sdp: tuple[int, str] | None = None, latency: int = 200) -> Source:
    """Reads an address. `sdp`: port and caps that an SDP file says. `latency`: of the jitter buffer, in ms."""
    tokens = "rtpvidtokdepay name=depay"
    if address == "camera":
        return Source(address, "autovideosrc", live=True)
    if address == "test":
        test = "videotestsrc is-live=true pattern=ball motion=sweep ! video/x-raw,width=384,height=288,framerate=30/1"
        return Source(address, test, live=True)
    if address.startswith("/dev/"):
        return Source(address, "v4l2src name=source", live=True, location=address)
    if address.startswith(("rtsp://", "rtspt://", "rtsps://")):
        # TCP, where UDP does not get through, is tried after this many microseconds.
        line = f"rtspsrc name=source latency={latency} tcp-timeout=5000000 timeout=3000000 ! {tokens}"
        return Source(address, line, live=True, network=True, location=address)
    if address.startswith("udp://") or address.endswith(".sdp"):
        if sdp:
            host, port, caps = "0.0.0.0", sdp[0], sdp[1]
        else:
            caps = RTP_CAPS
        if address.startswith("udp://"):
            host, port = host_and_port(address)
        # Where two programs share a port, each packet goes to one of them; of a group's, each gets all.
        udp = f"udpsrc name=source address={host} port={port} reuse={str(is_group(host)).lower()}"
        line = f"{udp} ! rtpjitterbuffer name=jitter latency={latency} ! {tokens}"
        return Source(address, line, live=True, network=True, caps=caps)
    if "://" in address:
        raise AddressError(f"{address}: only udp:// and rtsp:// are known; a file's name needs no file://")
    path = Path(address)
    if path.is_dir():
        raise AddressError(f"{address}: this is a folder; name a video")
    if not path.exists():
        raise AddressError(f"{address}: there is no such file")
    if path.suffix == ".vidtok":
        return Source(address, "filesrc name=source ! vidtokparse", stored=True, location=address)
    return Source(address, "filesrc name=source ! decodebin", location=address)


def host_and_port(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    # What reaches the launch line must not be more than a host.
    if not host or not port or not all(letter.isalnum() or letter in ".-:" for letter in host):
        raise AddressError(f"{address}: an address of UDP is udp://HOST:PORT, such as udp://0.0.0.0:5004")
    return host, port


def is_group(host: str) -> bool:
    """Whether it is a multicast address."""
    try:
        return ip_address(host).is_multicast
    except ValueError:
        return False


def launch_line(source: Source, *, box: tuple[int, int], encoder: str = "", decoder: str = "", loss: float = 0) -> str:
    """The whole line. Its appsinks are `original`, `reconstruction` and `tokens`.

    `box`: no picture is larger. `loss`: percent of packets that an RTP line between encoder and decoder loses.
    Sinks wait for no clock, and not for each other: the viewer matches pictures by their times.
    """
    picture = (
        "videoscale add-borders=false ! videoconvert ! video/x-raw,format=BGRx,pixel-aspect-ratio=1/1,"
        f"width=[1,{box[0]}],height=[1,{box[1]}] ! appsink sync=false async=false"
    )
    raw = "video/x-vidtok,stream-format=raw"
    # Where pictures come by themselves, one that is not fetched in time makes way for the next.
    leak = "leaky=downstream" if source.live else ""
    wait = "max-buffers=64 drop=true" if source.live else "max-buffers=4"
    # Not without end, should the viewer stand still.
    most = "max-buffers=256 drop=true"
    shown = f"queue ! appsink sync=false async=false {most} name=tokens"
    # Tokens of a network come at their pace. Those that the decoder has no time for make way, or latency would grow
    # without end; the decoder goes on at the next segment start.
    queue = (
        f"queue name=waiting leaky=downstream max-size-buffers=0 max-size-time={BEHIND}"
        if source.network
        # Of what is tokenized here, few: then it is the encoder that is late and leaves frames out.
        else "queue max-size-buffers=2"
    )
    decode = (
        f"{queue} ! vidtokdec name=decoder {decoder} ! queue max-size-buffers=4 ! {picture} {wait} name=reconstruction"
    )
    # Packets have the size that is shown as bit rate.
    framed = f"video/x-vidtok,stream-format=framed ! tee name=split ! {decode}"
    framed = f"{framed} split. ! queue ! vidtokparse ! {raw} ! {shown}"
    if source.stored:
        return f"{source.line} ! {framed}"
    if source.network:
        return f"{source.line} ! {raw} ! tee name=split ! {decode} split. ! {shown}"
    original = (
        f"queue {leak} max-size-buffers=16 max-size-bytes=0 max-size-time=0 ! videoflip video-direction=auto"
        f" ! {picture} {most} name=original"
    )
    late = f"overload=drop-groups max-lateness={MAX_LATENESS}" if source.live else ""
    encode = f"queue max-size-buffers={QUEUED} max-size-bytes=0 ! vidtokenc name=encoder {late} {encoder}"
    if loss:
        line = f"rtpvidtokpay ! identity name=line drop-probability={loss / 100} ! rtpvidtokdepay name=depay"
        tokens = f"{encode} ! {line} ! {raw} ! tee name=split ! {decode} split. ! {shown}"
    else:
        tokens = f"{encode} ! {framed}"
    return f"{source.line} ! tee name=input ! {original} input. ! {tokens}"
