"""Limits of the byte stream, by the names in the table of gst-vidtok's docs/stream.md.

They bound what a reader allocates and how long it works, whatever a stream claims.
"""

MAX_JSON_BYTES = 1 << 16
"""Bytes of JSON in a stream header."""
MAX_STREAM_ID = 64
"""Characters of a stream's id."""
MAX_TEXT_BYTES = 256
"""Bytes of the model's name, of the colorimetry, and of `pixels`."""
MAX_DIMENSION = 1 << 15
"""Pixels of a picture's width and of its height."""
MAX_SPACE_FACTOR = 64
"""Pixels of a cell's width and of its height."""
MAX_TIME_FACTOR = 64
"""Video frames of a latent frame."""
MAX_GRID_CELLS = 1 << 22
"""Cells of a latent frame."""
MAX_CODEBOOK = 1 << 24
"""Different FSQ indices."""
MAX_CHANNELS = 64
"""Channels of a KL latent."""
MAX_FRACTION = (1 << 31) - 1
"""Either number of a fraction."""
MAX_HEADER_BYTES = 1024
"""Bytes of a packet header, extensions of later minor versions included."""
MAX_LATENT_FRAMES = 4096
"""Latent frames of a packet."""
MAX_INDICES = 1 << 24
"""FSQ indices of a packet, of which each may take a single bit. The payload bounds KL values."""
MAX_PAYLOAD_BYTES = 1 << 26
"""Bytes of a packet's payload."""
MAX_TIME = 1 << 61
"""A packet's PTS, its duration, and each of its frame offsets, in nanoseconds."""
MAX_LATENT_NUMBER = 1 << 48
"""The number of a latent frame in its segment, and the latent frames that an end mark counts."""

SPARE_CHECKED = 1 << 27
"""Bytes that a reader spends on checksums that do not hold, whatever the stream's length."""
CHECKED_PER_BYTE = 16
"""Further such bytes for each byte of the stream."""
