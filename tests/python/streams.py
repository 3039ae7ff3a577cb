"""What the tests of `vidtok_stream` share: a token format, and streams as bytes.

The test has put the package on the path.
"""

import io
from fractions import Fraction

from vidtok_stream import Packet, Stream, TokenFormat, write

# That of the example in docs/stream.md: two cells of 15 bits.
FORMAT = TokenFormat(
    model="example",
    digest="0123456789abcdef" * 4,
    levels=(8,) * 5,
    token_type="uint16",
    time_factor=4,
    space_factor=8,
    causal=True,
    width=16,
    height=8,
    framerate=Fraction(30),
)


def written(content: Stream | list[Packet]) -> bytes:
    """The bytes of a stream."""
    write(file := io.BytesIO(), content)
    return file.getvalue()
