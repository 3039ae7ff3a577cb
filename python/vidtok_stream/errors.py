"""What is wrong with a stream, in words for users."""


class StreamError(ValueError):
    """A stream cannot be read or written, for the reason that the message gives."""
