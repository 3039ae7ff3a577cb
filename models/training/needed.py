"""Imports what does not come with Python.

The commands import their packages only after they have read the command line, so that --help needs none. Importing this
module makes the exporter's package importable, which lies beside this folder.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


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
