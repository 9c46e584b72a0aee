"""Read a pickle of plain values: numbers, text, lists, dicts, and numbers of numpy. Runs none of the code in it."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

LONGEST = 10_000  # bits of a whole number: Python prints no number of more than 4300 digits
DEEPEST, MOST = 100, 1 << 20  # levels of a value, and entries of a level: by references, few bytes can mean any number

#: The kinds of numbers of numpy -> the letters of struct.
_LETTERS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


class _Dtype:
    """The type of a number of numpy: how its bytes are read."""

    def __init__(self, kind: str, *more: object) -> None:
        self.letter = _LETTERS.get(kind)
        self.byte_order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.byte_order = {"<": "<", ">": ">"}.get(str(state[1]), "=")


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    if not isinstance(dtype, _Dtype) or dtype.letter is None:
        raise pickle.UnpicklingError("is not a number")
    return struct.unpack(dtype.byte_order + dtype.letter, content)[0]


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: bytes, known: Mapping[tuple[str, str], Any]) -> None:
        super().__init__(io.BytesIO(content))
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._known:
            return self._known[module, name]
        match module, name:
            case "numpy", "dtype":
                return _Dtype
            case (("numpy._core.multiarray" | "numpy.core.multiarray"), "scalar"):
                return _scalar
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain value")


def loads(content: bytes, known: Mapping[tuple[str, str], Any] = MappingProxyType({})) -> Any:
    """The value; raises ValueError for one that is not plain, or for content that is not a pickle.

    `known` stand in for classes: module and name -> ours. What they hold is not bounded.
    """
    try:
        return bounded(_Unpickler(content, known).load(), len(content))
    except Exception as error:  # whatever a damaged pickle raises
        raise ValueError(str(error)) from None


def bounded(value: Any, size: int) -> Any:
    """The value, read from so many bytes. Raises ValueError for one that contains itself, or more than can be shown."""
    most, level = max(MOST, size), [value]
    for _ in range(DEEPEST):
        if any(isinstance(one, int) and one.bit_length() > LONGEST for one in level):
            break
        level = list(islice((inner for one in level for inner in _entries(one)), most + 1))
        if not level:
            return value
        if len(level) > most:
            break
    raise ValueError("is nested too deeply, or is too large")


def _entries(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, (list, tuple, set, frozenset)) else ())
