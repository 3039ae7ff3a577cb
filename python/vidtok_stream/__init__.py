"""Reads and writes `.vidtok` files: video tokens, and when each frame is shown, as NumPy arrays.

`read` takes a whole file or some frames of it, `packets` goes through one of any length piece by piece, `follow` gives
tokens as they are made, `write` makes a file. `vidtok_stream.run` makes tokens of pictures, and pictures of tokens.
What the bytes mean is specified in gst-vidtok's docs/stream.md.
"""

from .coding import Coding
from .errors import StreamError
from .follow import Follower, follow
from .format import TokenFormat
from .header import End, StreamHeader, Totals
from .hole import Hole, Loss
from .packet import Packet
from .reader import PacketReader, packets
from .stream import Stream, read, read_joined
from .writer import Writer, write

__all__ = [
    "Coding",
    "End",
    "Follower",
    "Hole",
    "Loss",
    "Packet",
    "PacketReader",
    "Stream",
    "StreamError",
    "StreamHeader",
    "TokenFormat",
    "Totals",
    "Writer",
    "follow",
    "packets",
    "read",
    "read_joined",
    "write",
]
