"""The reader's limits are those of docs/stream.md."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from vidtok_stream import limits  # noqa: E402

EXPONENT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")


def number(text: str) -> int:
    """A number as the table has it: `65,536`, `2²⁶`."""
    power = re.fullmatch(r"2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
    return 1 << int(power[1].translate(EXPONENT)) if power else int(text.replace(",", ""))


def test_the_table_of_limits_is_what_is_held_to() -> None:
    document = (ROOT / "docs" / "stream.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"\n## Limits\n(.*?)\n## ", document, re.DOTALL)
    documented = {name: number(value) for name, value in re.findall(r"^\| `(\w+)` \| (\S+) \|", section, re.MULTILINE)}
    assert documented == {name: value for name, value in vars(limits).items() if name.isupper()}
