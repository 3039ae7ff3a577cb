"""docs/rtp.md says what a packet is: its example is read here by the document's tables alone."""

import hashlib
import re

from golden import ROOT

DOCUMENT = (ROOT / "docs" / "rtp.md").read_text(encoding="utf-8")
VALUES = {
    "segment": 5,
    "cells": 2,
    "latent frame": 0,
    "latent frames": 1,
    "first cell": 0,
    "real frames": 1,
}
FLAGS = {"offsets", "segment start", "segment end", "last"}
TOKENS = [1, 32_767]
TICKS = 3_000


def block(name: str) -> str:
    found = re.search(rf"^```{name}\n(.*?)\n```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]


def rows(header: str) -> list[list[str]]:
    found = re.search(rf"^{re.escape(header)}\n\|[- |]+\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    assert found, header
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def payload() -> bytes:
    lines = block("packet").splitlines()
    return bytes.fromhex(" ".join(re.match(r"((?:[0-9a-f]{2} )+)", line)[1] for line in lines))


def fields() -> dict[str, bytes]:
    """The payload's fields by name, as the table places them."""
    found = {}
    for place, name, _ in rows("| bytes | field | value |"):
        first, _, last = place.partition("–")
        found[name] = payload()[int(first) : int(last or first) + 1]
    return found


def test_the_fields_of_the_example_stand_where_the_table_says() -> None:
    found = fields()
    assert sum(map(len, found.values())) == 18
    assert {name: int.from_bytes(found[name], "big") for name in VALUES} == VALUES
    flags = found["flags"][0]
    assert flags >> 6 == 0
    assert {name for name, bit, _ in rows("| flag | bit | value |") if flags >> int(bit) & 1} == FLAGS


def test_the_digest_of_the_example_is_of_its_caps() -> None:
    needed = [name for names, needs, _ in rows("| field | needed | value |") if needs for name in names.split("`, `")]
    given = dict(line.split("=", 1) for line in block("fields").splitlines())
    assert [name for name in needed if name in given] == list(given)
    text = "".join(f"{name}={value}\n" for name, value in given.items())
    assert fields()["format digest"] == hashlib.sha256(text.encode()).digest()[:4]


def test_the_cells_of_the_example_are_its_tokens() -> None:
    rest = payload()[18:]
    assert int.from_bytes(rest[:4], "big") == TICKS
    bits = int.from_bytes(rest[4:], "little")
    assert [bits >> 15 * cell & 0x7FFF for cell in range(2)] == TOKENS
    assert bits >> 30 == 0
