"""`python -m vidtok_dataset` is `vidtok-dataset`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
