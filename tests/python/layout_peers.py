"""Reads data sets by the packages of their layouts, each in an environment of its own: see `tests/layout_packages.sh`.

`layout_peers.py write FOLDER` writes them (it needs the tests' environment); `layout_peers.py PACKAGE FOLDER` reads one
by that package, and compares the tokens.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

KEYS = ("a", "b")


def write(folder: Path) -> None:
    """A data set in each layout that a package below reads, and the tokens that it has."""
    sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("python", "dataset")]
    import layout_samples

    samples = [layout_samples.sample("a"), layout_samples.sample("b", ((2, 5), (1, 1)))]
    for name in ("mds", "parquet", "webdataset", "lerobot"):
        layout_samples.write(folder / name, layout_samples.layout(name), samples)
    for sample in samples:
        np.save(folder / f"{sample.key}.npy", sample.tokens)


def streaming(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """MosaicML Streaming."""
    from streaming import StreamingDataset

    for row in StreamingDataset(local=str(folder / "mds"), shuffle=False, batch_size=1):
        yield row["key"], row["tokens"]


def datasets(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Hugging Face's datasets: Parquet and WebDataset."""
    from datasets import load_dataset

    cache = str(folder / "cache")
    files = {"train": str(folder / "parquet" / "*.parquet")}
    for row in load_dataset("parquet", data_files=files, split="train", cache_dir=cache):
        tokens = np.frombuffer(row["tokens_bytes"], row["tokens_dtype"])
        yield row["id"], tokens.reshape(row["tokens_shape"])
    files = {"train": str(folder / "webdataset" / "*.tar")}
    for row in load_dataset("webdataset", data_files=files, split="train", cache_dir=cache, streaming=True):
        yield row["__key__"], np.asarray(row["tokens.npy"])


def lerobot(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """LeRobot: a segment is an episode."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    rows = LeRobotDataset("local/tokens", root=folder / "lerobot")
    tokens = np.stack([np.asarray(rows[index]["observation.tokens"]) for index in range(len(rows))])
    at = 0
    for key in KEYS:
        count = len(np.load(folder / f"{key}.npy"))
        yield key, tokens[at : at + count]
        at += count


PACKAGES = {"streaming": streaming, "datasets": datasets, "lerobot": lerobot}


def main() -> None:
    package, folder = sys.argv[1], Path(sys.argv[2])
    if package == "write":
        write(folder)
        return
    seen = []
    for key, tokens in PACKAGES[package](folder):
        np.testing.assert_array_equal(tokens, np.load(folder / f"{key}.npy"))
        seen.append(key)
    assert seen and not len(seen) % len(KEYS) and tuple(seen[: len(KEYS)]) == KEYS, seen
    print(f"{package}: the same tokens of {len(seen)} samples")


if __name__ == "__main__":
    main()
