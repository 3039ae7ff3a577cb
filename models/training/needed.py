"""What is not a part of Python: imported when the command line is understood, so that --help needs none of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def packages() -> Iterator[None]:
    """Around imports: where one fails, say which package is missing and how to get it."""
    try:
        yield
    except ModuleNotFoundError as error:
        requirements = Path(__file__).with_name("requirements.txt")
        sys.exit(
            f"The Python package of {error.name!r} is missing; install what is needed:\n"
            f"  {sys.executable} -m pip install -r {requirements}"
        )
