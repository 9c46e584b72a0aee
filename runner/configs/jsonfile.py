"""Read a JSON config. NaN and Infinity are numbers, a key that occurs twice is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.configs.evaluate import UnsupportedValue, plain
from runner.core.errors import UserError, one_line


class _Twice(ValueError):
    """A key that occurs twice in one object below the top."""


def read(path: Path, text: str) -> tuple[dict[str, Any], dict[str, int]]:
    if not text.strip():
        return {}, {}
    try:
        json.loads(text)  # json's own message for what is malformed, with its line
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: invalid JSON: {one_line(error.msg)}; correct this line") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}:1: cannot be parsed ({one_line(error)}); make it simpler") from None
    at = _skip(text, 0)
    if text[at] != "{":
        raise UserError(f"{path}:{_line(text, at)}: must be an object with keys; write {{...}} around it")
    return _members(path, text, at + 1)


def _members(path: Path, text: str, at: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Walk the top-level object of a text that is known to be valid: json itself does not report lines."""
    decoder = json.JSONDecoder(object_pairs_hook=_pairs)
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    line, counted = 1, 0  # that of the place up to which line ends were counted
    at = _skip(text, at)
    while text[at] != "}":
        line, counted = line + text.count("\n", counted, at), at
        key, at = decoder.raw_decode(text, at)
        if key in lines:
            raise UserError(f"{path}:{line}: {key!r} is there twice (first on line {lines[key]}); remove one")
        at = _skip(text, _skip(text, at) + 1)
        try:
            value, at = decoder.raw_decode(text, at)
            values[key], lines[key] = plain(value), line
        except (_Twice, UnsupportedValue) as error:
            raise UserError(f"{path}:{line}: {key} {error}") from None
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return values, lines


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _Twice(f"contains {key!r} twice; remove one")
        result[key] = value
    return result


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
