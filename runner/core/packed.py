"""Mappings that are there thousands of times: kept small, made again when they are read. Pure, for every supervisor.

Their keys are those of many others, and are kept once. Of a mapping whose values are plain these are kept as bytes.
"""

from __future__ import annotations

import itertools
import marshal
import zlib
from functools import lru_cache

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

_LEAVES = frozenset((str, int, float, bool, bytes, type(None)))
_VERSION = 2  # of marshal: without references between equal objects, which would depend on who else holds them
_EMPTY = ()
MOST_KINDS = 256  # of mappings, by their keys: the number of its kind is the first byte of what is kept of one
_WINDOW = 12  # 4 KB, of which the state of a writer or reader is a small multiple

_next_kind = itertools.count()
_kinds: dict[tuple[Any, ...], int] = {}
_first: dict[int, tuple[tuple[Any, ...], bytes]] = {}  # the keys of a kind, and the values of its first mapping


def packed(values: Mapping[str, Any]) -> object:
    """What `unpacked` makes an equal dict of, its keys in the same order. Only a dict of plain values is changed."""
    kept = _row(values)
    if type(kept) is not tuple or not kept:
        return kept
    kind = _kind(*kept)
    return kept if kind is None else bytes((kind,)) + kept[1]


def unpacked(kept: Any) -> Any:
    """The values of a mapping that was packed."""
    if type(kept) is bytes:
        return _made(_first[kept[0]][0], memoryview(kept)[1:])
    if type(kept) is tuple:
        return _made(*kept) if kept else {}
    return kept


def squeezed(values: Mapping[Any, Any]) -> object:
    """What `unsqueezed` makes an equal dict of. As `packed`, and less than a third of it where texts are long: of those
    that the first mapping with the same keys has too, such as the folder of the batch, nothing is kept."""
    kept = _row(values)
    if type(kept) is not tuple or not kept or (kind := _kind(*kept)) is None:
        return kept
    writer = zlib.compressobj(4, zlib.DEFLATED, -_WINDOW, 1, zlib.Z_DEFAULT_STRATEGY, _first[kind][1])
    return bytes((kind,)) + writer.compress(kept[1]) + writer.flush()


def unsqueezed(kept: Any) -> Any:
    """The values of a mapping that was squeezed."""
    if type(kept) is not bytes:
        return unpacked(kept)
    keys, first = _first[kept[0]]
    return _made(keys, zlib.decompressobj(-_WINDOW, first).decompress(memoryview(kept)[1:]))


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


def _row(values: Mapping[Any, Any]) -> Any:
    """The keys, and the values as bytes."""
    if type(values) is not dict or not _is_plain(values.values()):
        return values
    return (_one(tuple(values)), marshal.dumps(list(values.values()), _VERSION)) if values else _EMPTY


def _made(keys: tuple[Any, ...], content: bytes | memoryview) -> dict[Any, Any]:
    return dict(zip(keys, marshal.loads(content), strict=True))


def _kind(keys: tuple[Any, ...], content: bytes) -> int | None:
    """The number of the mappings with these keys; None for one kind too many. Threads may ask at the same time."""
    known = _kinds.get(keys)
    if known is not None or len(_kinds) >= MOST_KINDS:
        return known
    number = next(_next_kind)
    if number >= MOST_KINDS:
        return None
    _first[number] = keys, content
    return _kinds.setdefault(keys, number)


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
