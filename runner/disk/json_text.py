"""A record as JSON text that every reader accepts, indented by two spaces. Standard library only, for every supervisor.

NaN and infinities, which JSON does not have, become null. What is nested more deeply than `runner.core.fields` reads
becomes a text that says so.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring

from runner.core.fields import DEEPEST, is_too_deep

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Final

TOO_DEEP = "(nested too deeply)"
BLOCK = 1 << 16  # characters of a long record that are made at once
_INDENT = "  "
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False, default=str, allow_nan=False)
_INFINITY = float("inf")
_WORDS = {None: "null", True: "true", False: "false"}


class Each:
    """A value of a record whose items are made one by one while it is written: thousands take more memory than their
    text. They are the values of a list or, if `named`, the (key, value) of an object."""

    __slots__ = ("items", "named")

    def __init__(self, items: Iterable[Any], *, named: bool = False) -> None:
        self.items: Final = items
        self.named: Final = named


def text(record: Any) -> str:
    """The text of a record. A byte of a file name that is not UTF-8 is half a character in it."""
    return _text(record, "\n", DEEPEST)


def blocks(record: Any) -> Iterator[bytes]:
    """The text and a line end as bytes, in which a byte of a file name that is not UTF-8 is an escape such as \\udce9.

    From that Python reads the name again. Values of an object may be an `Each`.
    """
    pieces, size = [], 0
    for piece in _pieces(record):
        pieces.append(piece)
        size += len(piece)
        if size >= BLOCK:
            yield "".join(pieces).encode(errors="backslashreplace")
            pieces, size = [], 0
    yield ("".join(pieces) + "\n").encode(errors="backslashreplace")


def _pieces(record: Any) -> Iterator[str]:
    if type(record) is not dict or not any(type(value) is Each for value in record.values()):
        yield text(record)
        return
    line = "\n" + _INDENT
    before = "{" + line
    for key, value in record.items():
        yield f"{before}{encode_basestring(key)}: "
        before = "," + line
        if type(value) is Each:
            yield from _items(value, line)
        else:
            yield _text(value, line, DEEPEST - 1)
    yield "\n}"


def _items(each: Each, line: str) -> Iterator[str]:
    begin, end = "{}" if each.named else "[]"
    inner, before = line + _INDENT, begin
    for item in each.items:
        key = f"{encode_basestring(item[0])}: " if each.named else ""
        yield f"{before}{inner}{key}{_text(item[1] if each.named else item, inner, DEEPEST - 2)}"
        before = ","
    yield begin + end if before == begin else line + end


def _text(record: Any, line: str, levels: int) -> str:
    try:
        found = "" if is_too_deep([record], levels + 1) else _written(record, line)
    except ValueError:
        found = ""
    return found or _written(_readable(record, levels), line)


def _written(value: Any, line: str) -> str:
    """As json.dumps, which is slower where it indents. `line` is a line end and what is before the text in its line."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if value is None or kind is bool:
        return _WORDS[value]
    if (kind is dict or kind is list) and not value:
        return "{}" if kind is dict else "[]"
    if kind is dict and value and all(type(key) is str for key in value):
        inner = line + _INDENT
        entries = [f"{inner}{encode_basestring(key)}: {_written(item, inner)}" for key, item in value.items()]
        return f"{{{','.join(entries)}{line}}}"
    if (kind is list or kind is tuple) and value:
        inner = line + _INDENT
        return f"[{','.join([inner + _written(item, inner) for item in value])}{line}]"
    if kind is int or (kind is float and value == value and abs(value) != _INFINITY):
        return repr(value)
    return _ENCODER.encode(value).replace("\n", line)  # no text in JSON holds a line end


def _readable(value: Any, levels: int) -> Any:
    """The value with null for what JSON does not have, and at most so many levels."""
    if isinstance(value, (dict, list, tuple)) and not levels:
        return TOO_DEEP
    if isinstance(value, dict):
        return {key: _readable(item, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_readable(item, levels - 1) for item in value]
    return None if isinstance(value, float) and (value != value or abs(value) == _INFINITY) else value
