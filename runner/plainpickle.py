"""Read a pickle of plain values: numbers, text, lists, dicts, and numbers of numpy's. Runs no code that it names."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any

#: numpy's kinds of numbers -> struct's letters.
_LETTERS = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


class _Dtype:
    """The type of a number of numpy's, as far as it says how its bytes are read."""

    def __init__(self, kind: str, *more: object) -> None:
        self.letter = _LETTERS.get(kind)
        self.order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = {"<": "<", ">": ">"}.get(str(state[1]), "=")


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    if not isinstance(dtype, _Dtype) or dtype.letter is None:
        raise pickle.UnpicklingError("is no number")
    return struct.unpack(dtype.order + dtype.letter, content)[0]


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case "numpy", "dtype":
                return _Dtype
            case (("numpy._core.multiarray" | "numpy.core.multiarray"), "scalar"):
                return _scalar
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def loads(content: bytes) -> Any:
    """The value; raises ValueError for one that is not plain, or for what is no pickle."""
    try:
        return _Unpickler(io.BytesIO(content)).load()
    except Exception as error:  # whatever a damaged pickle raises
        raise ValueError(str(error)) from None
