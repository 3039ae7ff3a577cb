"""Documents name files and link to places that exist. What they tell readers to run, `tests/readme.sh` runs."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benches", "docs", "examples", "findings", "models", "python")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))])
# A path in a sentence or a diagram: "enc/encoder.rs", "tests/data/stream/".
PATH = re.compile(r"(?<![\w./-])(\.?(?:[a-z_]+/)+(?:[a-z_0-9]+\.(?:rs|py|sh|md))?)(?![\w<>-])")
# Set-up and builds make these.
MADE = (".local/", ".venv/", "target/")


@cache
def headings(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    texts = re.findall(r"^#+ +(.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-") for text in texts}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", link)]
    broken = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in headings(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(name: str) -> None:
    found = PATH.findall((ROOT / name).read_text(encoding="utf-8"))
    named = {path for path in found if not path.startswith(MADE)}
    assert len(named) > 10
    missing = {path for path in named if not any((folder / path).exists() for folder in (ROOT, ROOT / "src"))}
    assert not missing
