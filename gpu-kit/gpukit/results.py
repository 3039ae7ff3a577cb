"""Results: a line of JSON for each case, written when it ends; from these, one file and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]
LINES = "results.jsonl"
SMALL = "**A rehearsal**: pictures are small, and what is called ch128 has a width of 32. No time here means anything."
OK, FAILED, LACKING = "ok", "failed", "lacking"


def append(folder: Path, record: Record) -> None:
    """Add a line that a power cut does not take."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LINES
    # A line that was cut must not take the next one along.
    is_cut = path.exists() and not path.read_bytes().endswith(b"\n") and path.stat().st_size > 0
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * is_cut + json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> list[dict[str, Any]]:
    """All whole lines: the last one may have been cut."""
    records = []
    try:
        lines = (folder / LINES).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and "case" in record:
            records.append(record)
    return records


def merge(records: Iterable[Record]) -> dict[str, Record]:
    """The record of each case that counts: the last one that is ok, else the last."""
    merged: dict[str, Record] = {}
    for record in records:
        known = merged.get(record["case"])
        if known is None or record["status"] == OK or known["status"] != OK:
            merged[record["case"]] = record
    return merged


def whole(records: Iterable[Record], machine: Record) -> dict[str, Any]:
    """What is written as one JSON file."""
    return {"machine": machine, "cases": list(merge(records).values())}


def markdown(records: Iterable[Record], machine: Record) -> str:
    """Tables for people: the hardware table's rows, milliseconds per frame, and what did not work."""
    cases = list(merge(records).values())
    note = SMALL if machine.get("small") else ""
    parts = [note, hardware(cases, machine), speed(cases), other(cases), failures(cases)]
    return "\n\n".join(part for part in parts if part) + "\n"


def hardware(cases: list[Record], machine: Record) -> str:
    """A row for each provider and kind of comparison."""
    rows: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        if case["status"] == OK and case.get("table") == "hardware":
            rows.setdefault((case["provider"], case["what"]), []).append(case["text"])
    if not rows:
        return ""
    runtime, cpu = machine.get("onnxruntime", "?"), machine.get("cpu", "?")
    card = f"{machine['gpu']}, driver {machine.get('driver', '?')}" if "gpu" in machine else cpu
    lines = ["| provider | what was run | ONNX Runtime | on | result |", "| --- | --- | --- | --- | --- |"]
    for (provider, what), texts in rows.items():
        place = cpu if provider == "cpu" else card
        lines.append(f"| `{provider}` | {what} | {runtime} | {place} | {'; '.join(texts)} |")
    return "\n".join(lines)


def speed(cases: list[Record]) -> str:
    """Milliseconds per frame, as far as they were measured."""
    lines = [
        "| by | tokenizer | precision | streams | encoder, ms/frame | decoder, ms/frame | both | GPU, MiB |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    rows: dict[tuple[str, ...], dict[str, Record]] = {}
    for case in cases:
        if case["status"] == OK and case.get("table") == "speed":
            rows.setdefault(tuple(map(str, case["row"])), {})[case["role"]] = case
    for row, roles in rows.items():
        times = [roles[role]["ms-per-frame"] if role in roles else None for role in ("encoder", "decoder")]
        both = sum(times) if None not in times else None
        memory = "/".join(number(roles[role].get("gpu-mib"), 0) for role in ("encoder", "decoder") if role in roles)
        cells = [*row, *(number(time) for time in (*times, both)), memory]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if rows else ""


def number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def other(cases: list[Record]) -> str:
    lines = [
        f"- {case['case']}: {case['text']}" for case in cases if case["status"] == OK and case.get("table") == "other"
    ]
    return "\n".join(["Besides:", "", *lines]) if lines else ""


def failures(cases: list[Record]) -> str:
    """One line for all cases that have one reason."""
    reasons: dict[str, list[str]] = {}
    for case in cases:
        if case["status"] != OK:
            reasons.setdefault(case["reason"], []).append(case["case"])
    lines = [f"- {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join(["Did not work, or was not there:", "", *lines]) if lines else ""
