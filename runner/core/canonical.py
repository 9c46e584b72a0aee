"""The canonical form of a config: one text for equal values, different texts for different ones. Reads no file."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path, PurePath, PureWindowsPath
from types import NoneType
from typing import Any

from runner.core.config import Config

FLOAT, DICT = "$float", "$dict"  # tags of values that JSON does not have
NOT_FINITE = ("inf", "-inf", "nan")
_PLAIN = (str, bool, int, NoneType)
_SIMPLE = frozenset((*_PLAIN, float))  # nothing in them can be tagged


class NotCanonical(TypeError):
    """A value that does not have a canonical form. `where` is the path of its key: `model.layers[2].init`."""

    def __init__(self, why: str, where: str = "") -> None:
        super().__init__(f"{where}: {why}" if where else why)
        self.why, self.where = why, where

    def below(self, step: str) -> NotCanonical:
        """The same error, seen from one container further out."""
        joint = "." if self.where and not self.where.startswith("[") else ""
        return NotCanonical(self.why, f"{step}{joint}{self.where}")


def canonical(value: Any) -> str:
    """JSON values as one text: keys sorted, floats by repr, 1, 1.0 and True distinguished. Others as their str()."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def fingerprint(value: Any) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of the canonical text of JSON values."""
    return digest(canonical(value))


def digest(text: str) -> str:
    """The fingerprint of what has this canonical text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def tagged(value: Any) -> Any:
    """JSON values as every reader of JSON accepts them: a float that is not finite is `{"$float": "inf"}`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else {FLOAT: repr(value)}
    if isinstance(value, Mapping):
        found = {key: item if type(item) in _PLAIN else tagged(item) for key, item in value.items()}
        return {DICT: [[key, item] for key, item in found.items()]} if _is_tag(value) else found
    return [tagged(item) for item in value] if isinstance(value, (list, tuple)) else value


def untagged(value: Any) -> Any:
    """What `tagged` was given. Values that are not tagged are unchanged, those of earlier records too."""
    if isinstance(value, list):
        return [untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if not _is_tag(value):
        if _SIMPLE.issuperset(map(type, value.values())):
            return dict(value)
        return {key: item if type(item) in _SIMPLE else untagged(item) for key, item in value.items()}
    if isinstance(text := value.get(FLOAT), str):
        return float(text) if text in NOT_FINITE else value
    pairs: Any = value.get(DICT)
    return {key: untagged(item) for key, item in pairs} if _are_pairs(pairs) else value


def _are_pairs(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)


def _is_tag(value: Mapping[str, Any]) -> bool:
    return len(value) == 1 and (FLOAT in value or DICT in value)


def typed(value: Any) -> Any:
    """The value as JSON values that keep its type; two values have the same form only if they are equal in type too.

    What JSON knows is kept as it is. Everything else is an object with one key that begins with `$`: `{"$tuple":
    [...]}`, `{"$path": "..."}`, `{"$float": "nan"}`. The content of an array is written as its SHA-256.
    Raises NotCanonical.
    """
    try:
        return _typed(value)
    except RecursionError:
        raise NotCanonical("is nested too deeply, or contains itself") from None


def _typed(value: Any) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else {FLOAT: repr(value)}
    if kind is dict or kind is Config:
        return _mapping(value)
    if kind is list:
        return _items(value)
    if kind is tuple:
        return {"$tuple": _items(value)}
    if isinstance(value, Enum):
        return {"$enum": [home(kind), value.name if value.name is not None else _typed(value.value)]}
    if isinstance(value, PurePath):
        return {"$windows_path" if isinstance(value, PureWindowsPath) else "$path": str(value)}
    if is_dataclass(kind):
        entries = {field.name: _field(value, field.name) for field in fields(kind)}
        return {"$dataclass": [home(kind), _mapping(entries)]}
    for module, form in _ARRAYS:
        if kind.__module__.partition(".")[0] == module and (found := form(sys.modules[module], value)) is not None:
            return found
    raise NotCanonical(_complaint(value))


def _field(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except AttributeError:
        raise NotCanonical("this field of a dataclass has no value; set it, or give it a default", name) from None


def _mapping(values: dict[Any, Any]) -> dict[str, Any]:
    pairs: list[tuple[Any, Any]] = []
    key: Any = None
    try:
        for key, item in values.items():
            pairs.append((key if type(key) is str else _typed(key), _typed(item)))
    except NotCanonical as error:
        raise error.below(key if type(key) is str else f"[{key!r}]") from None
    if all(type(key) is str and not key.startswith("$") for key in values):
        return dict(pairs)
    return {DICT: [list(pair) for pair in sorted(pairs, key=lambda pair: canonical(pair[0]))]}


def _items(values: Iterable[Any]) -> list[Any]:
    done: list[Any] = []
    try:
        for item in values:
            done.append(_typed(item))  # noqa: PERF401 - its length is the index of an error
    except NotCanonical as error:
        raise error.below(f"[{len(done)}]") from None
    return done


def home(kind: type | Callable[..., Any]) -> str:
    """Module and name of a class or function. That of the main program is called as it is when it is imported."""
    module = kind.__module__
    if module == "__main__":
        main = sys.modules["__main__"]
        spec = getattr(main, "__spec__", None)
        module = spec.name if spec is not None else Path(getattr(main, "__file__", None) or module).stem
    return f"{module}.{kind.__qualname__}"


def _numpy(numpy: Any, value: Any) -> dict[str, Any] | None:
    if isinstance(value, numpy.generic):
        value, tag = numpy.asarray(value), "$scalar"
    elif type(value) in (numpy.ndarray, numpy.memmap):
        tag = "$array"
    else:
        return None
    if value.dtype.hasobject:
        raise NotCanonical("an array of Python objects does not have a canonical form; use a list")
    flat = numpy.ascontiguousarray(value).reshape(-1).view(numpy.uint8) if value.size else b""
    dtype = repr(numpy.lib.format.dtype_to_descr(value.dtype))
    return {tag: _content(dtype, value.shape, flat)}


def _torch(torch: Any, value: Any) -> dict[str, Any] | None:
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return None
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        raise NotCanonical("a tensor that is sparse, quantized or without content does not have a canonical form")
    dense = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
    flat = dense.reshape(-1).view(torch.uint8).numpy() if dense.numel() else b""
    return {"$tensor": _content(str(value.dtype).removeprefix("torch."), value.shape, flat)}


_ARRAYS: tuple[tuple[str, Callable[[Any, Any], dict[str, Any] | None]], ...] = (("numpy", _numpy), ("torch", _torch))


def _content(dtype: str, shape: Iterable[int], flat: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [int(size) for size in shape], "sha256": hashlib.sha256(flat).hexdigest()}


def _complaint(value: Any) -> str:
    known = "JSON values, tuple, Path, Enum, dataclasses, numpy arrays and torch tensors"
    kind = type(value)
    value_type = f"{kind.__module__}.{kind.__qualname__}"
    return f"a value of type {value_type} does not have a canonical form; a config can hold {known}"
