#!/usr/bin/env python3
"""How fast `vidtok_stream` reads tokens that are in memory, in Python.

Each figure is the median of the turns that all cases take, of a few tens of megabytes of random tokens. Time is the
processor's: all run in one thread, and wait for nothing. MB/s are those of the array that comes out: uint16 indices of
15 bits and of 16, float32 values. The last column is the time of `read` divided by that of two copies of the tokens in
memory: what the machine itself lets a reader reach.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

from vidtok_stream import Stream, TokenFormat, coding, packets, read, write  # noqa: E402

MEGABYTES = 32
Action = Callable[[], object]


def format_of(side: int, levels: tuple[int, ...] | None) -> TokenFormat:
    return TokenFormat(
        model="random",
        digest="0" * 64,
        levels=levels,
        channels=None if levels else 16,
        token_type="uint16" if levels else "float32",
        time_factor=4,
        space_factor=8,
        causal=True,
        width=side,
        height=side,
    )


def actions(side: int, levels: tuple[int, ...] | None) -> tuple[float, dict[str, Action]]:
    """Megabytes of tokens, and what is measured."""
    format, chance = format_of(side, levels), np.random.default_rng(1)
    shape = (
        max(1, MEGABYTES * 1_000_000 // (np.prod(format.latent_shape) * format.dtype.itemsize)),
        *format.latent_shape,
    )
    tokens = (chance.integers(0, format.codebook_size, shape) if levels else chance.standard_normal(shape)).astype(
        format.dtype
    )
    write(file := io.BytesIO(), Stream.of(format, tokens, pts=np.arange(1 + 4 * (shape[0] - 1))))
    data = file.getvalue()
    payloads = [packet.payload for packet in packets(data)]
    batch = max(1, (1 << 20) // len(payloads[0]))
    bare = tokens.tobytes()

    def unpack() -> None:
        for at in range(0, len(payloads), batch):
            coding.decode(payloads[at : at + batch], format, 1)

    return tokens.nbytes / 1e6, {
        "unpack": unpack,
        "read": lambda: read(data),
        "packets": lambda: [packet.tokens.shape for packet in packets(data)],
        "copy": lambda: bytes(bytearray(bare)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=7)
    turns = parser.parse_args().turns
    print("| tokens | bytes in a packet | unpack MB/s | read MB/s | packets MB/s | packets/s | read / copy |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, levels in (("15 bits", (8,) * 5), ("16 bits", (16,) * 4), ("float32", None)):
        for side in (256, 1080):
            size, cases = actions(side, levels)
            format = format_of(side, levels)
            times: dict[str, list[float]] = {case: [] for case in cases}
            for _ in range(turns):
                for case, action in cases.items():
                    began = time.process_time()
                    action()
                    times[case].append(time.process_time() - began)
            took = {case: median(of) for case, of in times.items()}
            count = size * 1e6 / (np.prod(format.latent_shape) * format.dtype.itemsize)
            rates = " | ".join(f"{size / took[case]:.0f}" for case in ("unpack", "read", "packets"))
            length = format.payload_length(1).max
            share = f"{took['read'] / took['copy']:.1f}"
            print(f"| {name}, {side}×{side} | {length} | {rates} | {count / took['packets']:.0f} | {share} |")
    print(f"\nfiles of numbers alone, by numpy.memmap and a copy: {bare_rate(turns):.0f} MB/s")


def bare_rate(turns: int) -> float:
    """Of a file in the system's cache: `vidtokenc`'s raw tokens, and those of 1X's layout."""
    tokens = np.random.default_rng(1).integers(0, 1 << 15, MEGABYTES * 500_000).astype("<u2")
    with tempfile.NamedTemporaryFile() as file:
        tokens.tofile(file.name)
        times = []
        for _ in range(turns):
            began = time.process_time()
            np.array(np.memmap(file.name, "<u2", "r"))
            times.append(time.process_time() - began)
    return tokens.nbytes / 1e6 / median(times)


if __name__ == "__main__":
    main()
