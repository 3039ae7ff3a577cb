"""The limits of docs/graphs.md: the plugin refuses a tokenizer beyond them."""

MAX_NAME_BYTES = 256
MAX_TIME_FACTOR = 64  # video frames per latent frame
MAX_SPACE_FACTOR = 64  # pixels per side of a cell
MAX_WINDOW = 256  # frames
MAX_CHANNELS = 64  # FSQ digits, or floats per cell
MAX_CODEBOOK = 1 << 24  # float32 holds every index exactly, and so does the byte stream
