"""The JSON object of a stream header, whose values are not trusted."""

import json
import re
from fractions import Fraction
from reprlib import repr as shortened

from .errors import StreamError
from .limits import MAX_FRACTION

MAX_INTEGER = (1 << 32) - 1
FRACTION = re.compile(r"0*([0-9]{1,10})/0*([0-9]{1,10})", re.ASCII)


class Fields:
    """The values of a JSON object by key and type. `null` counts as missing."""

    def __init__(self, pairs: object) -> None:
        if not isinstance(pairs, tuple):
            raise impossible("not a JSON object")
        self.values = dict(pairs)
        if len(self.values) != len(pairs):
            raise impossible("a JSON object in which a key comes twice")

    @classmethod
    def of(cls, data: bytes) -> "Fields":
        """Reads a JSON text, which may be anything."""
        try:
            # Objects become tuples of pairs, as a dict would hide a key that comes twice.
            pairs = json.loads(data.decode(), object_pairs_hook=tuple, parse_constant=_not_a_number)
        except (ValueError, RecursionError) as error:
            raise impossible(f"not JSON: {error}") from error
        return cls(pairs)

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def integer(self, key: str, maximum: int = MAX_INTEGER) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or not is_integer(value, maximum):
            raise self._wrong(key, "a whole number" if maximum == MAX_INTEGER else f"a whole number up to {maximum}")
        return value

    def object(self, key: str) -> "Fields":
        value = self.values.get(key)
        if not isinstance(value, tuple):
            raise self._wrong(key, "an object")
        return Fields(value)

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.values.get(key)
        if not isinstance(value, list) or not all(map(is_integer, value)):
            raise self._wrong(key, "a list of whole numbers")
        return tuple(value)

    def boolean(self, key: str) -> bool:
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def fraction(self, key: str) -> Fraction:
        match = FRACTION.fullmatch(self.text(key))
        if not match or int(match[2]) == 0 or max(int(match[1]), int(match[2])) > MAX_FRACTION:
            raise self._wrong(key, "a fraction such as 30/1")
        return Fraction(int(match[1]), int(match[2]))

    def _wrong(self, key: str, wanted: str) -> StreamError:
        if key not in self.values:
            return impossible(f'"{key}" is missing')
        return impossible(f'"{key}" is {shortened(self.values[key])}, not {wanted}')


def to_json(fields: dict[str, object]) -> bytes:
    """The JSON text of an object, as short as it can be."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def impossible(reason: str) -> StreamError:
    """The error that a stream header cannot be used."""
    return StreamError(f"cannot use the stream header: {reason}")


def _not_a_number(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def is_integer(value: object, maximum: int = MAX_INTEGER) -> bool:
    return type(value) is int and 0 <= value <= maximum
