"""Errors that a user can do something about."""


class DatasetError(Exception):
    """The data set cannot be made as asked for. The text says what is wrong, where, and what to do."""


class ClipError(Exception):
    """A clip cannot be tokenized. It is skipped, with this text as its reason."""
