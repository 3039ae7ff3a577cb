"""A stand-in where PyAV is not installed: the kit's footage is decoded already."""


def open(path: str) -> None:
    raise SystemExit(f"{path} would have to be decoded, and PyAV is not installed")
