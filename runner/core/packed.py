"""Mappings that are there thousands of times: kept small, made again when they are read. Pure, for every supervisor.

Their keys are those of many others, and are kept once. Of a mapping whose values are plain these are kept as bytes.
"""

from __future__ import annotations

import marshal
from functools import lru_cache

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_LEAVES = frozenset((str, int, float, bool, bytes, type(None)))
_VERSION = 2  # of marshal: without references between equal objects, which would depend on who else holds them
_EMPTY = ()


def packed(values: Mapping[str, Any]) -> object:
    """What `unpacked` makes an equal dict of, its keys in the same order. Only a dict of plain values is changed."""
    if type(values) is not dict or not _is_plain(values.values()):
        return values
    return (_one(tuple(values)), marshal.dumps(list(values.values()), _VERSION)) if values else _EMPTY


def unpacked(kept: Any) -> Any:
    """The values of a mapping that was packed."""
    if type(kept) is not tuple:
        return kept
    return dict(zip(kept[0], marshal.loads(kept[1]), strict=True)) if kept else {}


def in_a_row(values: Mapping[Any, Any]) -> object:
    """As `packed`, for values that others hold as well: the keys, and then the values as they are."""
    if type(values) is not dict:
        return values
    return (_one(tuple(values)), *values.values()) if values else _EMPTY


def from_row(kept: Any) -> Any:
    """The values of a mapping that was laid in a row."""
    if type(kept) is not tuple:
        return kept
    return dict(zip(kept[0], kept[1:], strict=True)) if kept else {}


def _is_plain(values: Iterable[Any]) -> bool:
    """Whether marshal makes equal values of the same types again: it takes an array of numbers for bytes."""
    return all(
        type(value) in _LEAVES
        or (type(value) in (list, tuple) and _is_plain(value))
        or (type(value) is dict and _is_plain(value) and _is_plain(value.values()))
        for value in values
    )


@lru_cache(256)
def _one(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """The same object for equal keys."""
    return keys


class Slot:
    """Takes the place of a slot of a class: `keep` makes what is kept of a value, `read` makes the value again."""

    __slots__ = ("_keep", "_read", "_slot")

    def __init__(self, slot: Any, keep: Callable[[Any], object], read: Callable[[Any], Any]) -> None:
        self._slot, self._keep, self._read = slot, keep, read

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else self._read(self._slot.__get__(instance))

    def __set__(self, instance: object, value: Any) -> None:
        self._slot.__set__(instance, self._keep(value))
