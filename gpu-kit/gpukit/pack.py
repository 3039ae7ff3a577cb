"""Results in few small files, to be copied back."""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import pieces, results, training

LOG_BYTES = 2_000_000


def tables(folder: Path) -> str:
    records = results.read(folder)
    return results.markdown(records, machine(records))


def machine(records: list[dict[str, Any]]) -> Mapping[str, Any]:
    """What the first part found."""
    record = results.merge(records).get("machine", {})
    return record.get("result", {})


def pack(folder: Path, to: Path) -> list[str]:
    """Write results, logs and a checkpoint's pieces to one folder without folders in it. Gives the files' names."""
    to.mkdir(parents=True, exist_ok=True)
    records = results.read(folder)
    whole = results.whole(records, machine(records))
    (to / "results.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    (to / "results.md").write_text(results.markdown(records, machine(records)))
    if (folder / results.LINES).exists():
        shutil.copy(folder / results.LINES, to / results.LINES)
    with lzma.open(to / "logs.tar.xz", "wb") as compressed, tarfile.open(fileobj=compressed, mode="w|") as archive:
        for path in [*sorted((folder / "logs").glob("*.log")), *sorted((folder / "training").glob("*.jsonl"))]:
            if path.stat().st_size <= LOG_BYTES:
                archive.add(path, path.name)
    if (folder / "training" / training.CHECKPOINT).is_file():
        # The trainer may have been ended before its case could do so.
        training.split(folder / "training")
    for path in sorted((folder / "training").glob("checkpoint.pt.[0-9][0-9]")):
        shutil.copy(path, to / path.name)
    if (folder / "training" / pieces.LIST).exists():
        shutil.copy(folder / "training" / pieces.LIST, to / pieces.LIST)
    return sorted(path.name for path in to.iterdir())
