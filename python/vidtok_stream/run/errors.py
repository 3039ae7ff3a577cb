"""What is wrong with a tokenizer, or with what it is given, in words for users."""


class ModelError(ValueError):
    """A tokenizer cannot be used, or not for this input, for the reason that the message gives."""
