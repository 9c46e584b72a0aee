"""The content of values as text: constants, containers, instances of the project's classes. Reads no source text."""

from __future__ import annotations

import datetime
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import partial
from pathlib import PurePath
from types import EllipsisType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from runner.core.canonical import NotCanonical, canonical, typed
from runner.library.imported_files import own
from runner.library.source_text import class_files

MOST = 100_000  # values in one value; what comes after them does not count
LARGEST = 1 << 26  # bytes of an array whose content counts
_CONSTANTS = (int, float, complex, str, bytes, bool, type(None), EllipsisType, range, slice)
_WRITTEN = (PurePath, Decimal, Fraction, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque, MappingProxyType)


class Describer:
    """`code` is called for every function and class that is met, and returns a name for it.

    Of objects that are neither the project's nor one of the kinds above only the type counts: their content may be
    another one at each start.
    """

    def __init__(self, code: Callable[[Any], str]) -> None:
        self._code = code
        self._left = MOST

    def text(self, value: Any, above: tuple[int, ...] = ()) -> str:
        self._left -= 1
        if self._left < 0 or id(value) in above or len(above) > 50:
            return "…"
        if type(value) in _CONSTANTS:
            return repr(value)
        below = (*above, id(value))
        if (named := self._named(value, below)) is not None:
            return named
        if isinstance(value, _CONTAINERS):
            return f"{self._kind(value)}{self._items(value, below)}"
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!r} {value.flags}"
        if isinstance(value, _WRITTEN):
            return f"{self._kind(value)} {value!r}"
        if type(value).__module__.partition(".")[0] in ("numpy", "torch"):
            return self._array(value)
        kind = self._kind(value)
        if not _is_of_project(type(value)):
            return kind
        return kind + "".join(f" {name}={self.text(item, below)}" for name, item in _attributes(value))

    def _named(self, value: Any, below: tuple[int, ...]) -> str | None:
        """What has a definition somewhere, or refers to something that has."""
        if isinstance(value, FunctionType | type | ModuleType):
            return self._code(value)
        if isinstance(value, MethodType):
            return f"{self.text(value.__func__, below)} of {self.text(value.__self__, below)}"
        if isinstance(value, partial):
            return f"partial {self.text((value.func, value.args, value.keywords), below)}"
        if isinstance(value, Enum):
            return f"{self._code(type(value))}.{value.name}"
        wrapped = vars(value).get("__wrapped__") if hasattr(value, "__dict__") else None
        if wrapped is not None:  # an experiment, a cached function
            return f"{self._kind(value)} of {self.text(wrapped, below)}"
        name = getattr(value, "__qualname__", getattr(value, "__name__", None))
        if isinstance(name, str) and not _is_of_project(type(value)):  # a function that is not written in Python
            return f"{getattr(value, '__module__', '')}.{name}"
        return None

    def _items(self, value: Any, below: tuple[int, ...]) -> str:
        if isinstance(value, Mapping):
            pairs = (f"{self.text(key, below)}: {self.text(item, below)}" for key, item in list(value.items()))
            return "{" + ", ".join(pairs) + "}"
        texts = [self.text(item, below) for item in list(value)]
        return str(sorted(texts)) if isinstance(value, set | frozenset) else f"[{', '.join(texts)}]"

    def _array(self, value: Any) -> str:
        if getattr(value, "nbytes", LARGEST + 1) <= LARGEST:
            try:
                return canonical(typed(value))
            except (NotCanonical, RuntimeError):
                pass
        return f"{type(value).__qualname__} {getattr(value, 'dtype', '')} {getattr(value, 'shape', '')}"

    def _kind(self, value: Any) -> str:
        kind = type(value)
        return self._code(kind) if _is_of_project(kind) else f"{kind.__module__}.{kind.__qualname__}"


def _is_of_project(kind: type) -> bool:
    if kind.__module__.partition(".")[0] in ("builtins", "runner"):
        return False
    if kind.__module__ == "__main__":
        return True
    return own(next(iter(class_files(kind)), None)) is not None


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an instance holds, without what its class computes from that."""
    held = dict(getattr(value, "__dict__", {}))
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            member = vars(kind).get(name)
            try:
                held[name] = member.__get__(value, kind) if member is not None else None
            except AttributeError:  # not set
                continue
    held.pop("__dict__", None)
    held.pop("__weakref__", None)
    return iter(sorted(held.items()))
