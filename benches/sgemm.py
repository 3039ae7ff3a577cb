"""Prints the GFLOP/s of a float32 matrix product, to compare a graph with. Environment variables set its threads."""

import statistics
import time

import numpy as np

SIZE = 2048
PRODUCTS = 10


def main() -> None:
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((SIZE, SIZE), np.float32) for _ in range(2))
    product = np.empty_like(a)
    seconds = []
    for _ in range(2 + PRODUCTS):
        started = time.perf_counter()
        np.matmul(a, b, out=product)
        seconds.append(time.perf_counter() - started)
    print(2 * SIZE**3 / statistics.median(seconds[2:]) / 1e9)


if __name__ == "__main__":
    main()
