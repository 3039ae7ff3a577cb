"""What is wrong with a stream, in words for its user."""


class StreamError(ValueError):
    """A stream cannot be read, or what was to be written is no possible stream."""
