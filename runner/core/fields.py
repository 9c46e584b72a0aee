"""The entries of a JSON record, each checked for its type. Standard library only, for every supervisor. Pure.

A record on a disk may be torn, or written by a job or a newer version: whoever reads one gets each entry as its type,
or one sentence on what is odd about it.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DEEPEST = 128  # levels of a record; a config has 100 at most (configs/evaluate.py), and no function of ours fails below
LARGEST_WHOLE = 2**63  # of whole numbers; a larger one does not fit a float, and no other reader of JSON has it
_MISSING = object()
_LEAVES = frozenset((str, int, float, bool, type(None)))


class Malformed(ValueError):
    """What was read is not a record; the message is the cause: `attempt is a list, not a whole number`."""


def parsed(content: bytes) -> dict[str, Any]:
    """The JSON object in the content of a file. Raises Malformed."""
    try:
        record = json.loads(content)
    except RecursionError:
        raise Malformed("is nested too deeply") from None
    except ValueError:
        raise Malformed("is not JSON" if content.strip() else "is empty") from None
    if not isinstance(record, dict):
        raise Malformed(f"is {_kind(record)}, not an object")
    if content.count(b"[") + content.count(b"{") > DEEPEST and is_too_deep(record):
        raise Malformed("is nested too deeply")
    return record


def is_too_deep(value: Any, deepest: int = DEEPEST) -> bool:
    """Whether a value of JSON has more levels than that. Looks at each container once, without recursion."""
    level = [value]
    for _ in range(deepest):
        inside = [one.values() if isinstance(one, dict) else one for one in level]
        level = [
            inner
            for values in inside
            if not _LEAVES.issuperset(map(type, values))  # quicker than to look at each
            for inner in values
            if isinstance(inner, (dict, list, tuple))
        ]
        if not level:
            return False
    return True


def is_number(value: Any) -> bool:
    """Whether a value is a number that can be a float; NaN and the infinities are."""
    if isinstance(value, bool):
        return False
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < LARGEST_WHOLE)


class Fields:
    """The entries of one record. Each method raises Malformed for an entry that is not of its type.

    `default` is for an entry that is missing, or null; without one it has to be there. `place` is that of the record
    within another one: `jobs[2].`.
    """

    __slots__ = ("_place", "_record")

    def __init__(self, record: object, place: str = "") -> None:
        if not isinstance(record, dict):
            raise Malformed(f"{place.rstrip('.') or 'it'} is {_kind(record)}, not an object")
        self._record: dict[str, Any] = record
        self._place = place

    def __contains__(self, key: str) -> bool:
        return self._record.get(key) is not None

    def text(self, key: str, default: Any = _MISSING) -> Any:
        return self._of(key, str, "a text", default)

    def flag(self, key: str, default: Any = _MISSING) -> Any:
        return self._of(key, bool, "true or false", default)

    def whole(self, key: str, default: Any = _MISSING, *, least: int | None = None) -> Any:
        value = self._get(key, default)
        if value is default:
            return value
        if not isinstance(value, int) or not is_number(value) or (least is not None and value < least):
            raise self._odd(key, value, "a whole number" if least is None else f"a whole number from {least} on")
        return value

    def number(self, key: str, default: Any = _MISSING) -> Any:
        """A finite number."""
        value = self._get(key, default)
        if value is default:
            return value
        if not is_number(value) or value != value or abs(value) == float("inf"):
            raise self._odd(key, value, "a number")
        return value

    def numbers(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers that are not negative."""
        values: list[Any] = self._of(key, list, "a list of numbers", _MISSING)
        if not all(is_number(value) and 0 <= value < float("inf") for value in values):
            raise self._odd(key, values, "a list of numbers")
        return tuple(values)

    def path(self, key: str, default: Any = _MISSING) -> Any:
        """A text that can be the name of a file."""
        value = self.text(key, default)
        if value is not default and not is_path(value):
            raise self._odd(key, value, "the name of a file")
        return value

    def words(self, key: str, default: Any = _MISSING) -> Any:
        """A tuple of texts."""
        values = self._of(key, list, "a list of texts", default)
        if values is default:
            return values
        if not all(isinstance(value, str) for value in values):
            raise self._odd(key, values, "a list of texts")
        return tuple(values)

    def mapping(self, key: str, default: Any = _MISSING) -> Any:
        """An object with any values."""
        return self._of(key, dict, "an object", default)

    def texts(self, key: str, default: Any = _MISSING) -> Any:
        """An object whose values are texts."""
        values = self.mapping(key, default)
        if values is not default and not all(isinstance(value, str) for value in values.values()):
            raise self._odd(key, values, "an object of texts")
        return values

    def records(self, key: str) -> Iterator[Fields]:
        """The records of a list."""
        for number, value in enumerate(self._of(key, list, "a list", _MISSING)):
            yield Fields(value, f"{self._place}{key}[{number}].")

    def odd(self, key: str, expected: str) -> Malformed:
        """The error for an entry of the right type whose value cannot be."""
        return self._odd(key, self._record.get(key), expected)

    def _of(self, key: str, kind: type, expected: str, default: Any) -> Any:
        value = self._get(key, default)
        if value is not default and not isinstance(value, kind):
            raise self._odd(key, value, expected)
        return value

    def _get(self, key: str, default: Any) -> Any:
        value = self._record.get(key)
        if value is not None:
            return value
        if default is _MISSING:
            raise Malformed(f"{self._place}{key} is missing")
        return default

    def _odd(self, key: str, value: Any, expected: str) -> Malformed:
        return Malformed(f"{self._place}{key} is {_kind(value)}, not {expected}")


def is_path(text: str) -> bool:
    """Whether a text can be the name of a file: not empty, without NUL, and made of what a file system can have."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _kind(value: Any) -> str:
    """What a value is, for a sentence; short values as they are."""
    if isinstance(value, str) and len(value) > 40:
        return f"a text of {len(value)} characters"
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return f"{value!r:.40}" if is_number(value) else "a number that is too large"
    return "a list" if isinstance(value, list) else "an object"
