"""For one process."""

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable)


def rank_zero_only(function: F) -> F:
    return function
