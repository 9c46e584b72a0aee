"""Values of its own for a call of the function: what it changes in its config is changed nowhere else."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any

from runner.core.canonical import NotCanonical, canonical, typed
from runner.core.config import Config

_UNCHANGEABLE = (str, int, float, bool, NoneType)


class ChangedValue(ValueError):
    """A value that is not the one any more of which the hash was made."""


class OwnValues:
    """A copy of a config, in `config`, for one call. `check` says whether what could not be copied is as it was."""

    def __init__(self, config: Any) -> None:
        self._shared: dict[str, str] = {}  # key of a value that cannot be copied -> its text before the call
        self.config: Any
        try:
            self.config = _copied(config)
        except Exception:  # whatever a class does when it is copied
            self.config = copy.copy(config)
            for key, value in _entries(config):
                self._set(key, self._own(key, value))

    def check(self) -> None:
        """Raises ChangedValue."""
        for key, value in _entries(self.config):
            if key in self._shared and _text(value) != self._shared[key]:
                raise ChangedValue(
                    f"the function has changed config.{key}, which cannot be copied, so that other configs may hold "
                    "the changed value; copy it in the function before changing it"
                )

    def _own(self, key: str, value: Any) -> Any:
        try:
            return _copied(value)
        except Exception:
            if (text := _text(value)) is not None:
                self._shared[key] = text
            return value

    def _set(self, key: str, value: Any) -> None:
        if isinstance(self.config, Mapping):
            dict.__setitem__(self.config, key, value)  # type: ignore[index]
        else:
            object.__setattr__(self.config, key, value)  # frozen ones too: nobody has seen this copy yet


def _copied(value: Any) -> Any:
    """As copy.deepcopy; what configs mostly hold takes a fifth of its time."""
    kind = type(value)
    if kind in _UNCHANGEABLE:
        return value
    if kind is list or kind is tuple:
        return kind(map(_copied, value))
    if kind is dict or kind is Config:
        made = kind()
        dict.update(made, {_copied(key): _copied(item) for key, item in value.items()})
        return made
    return copy.deepcopy(value, _NoMemo())


class _NoMemo(dict[int, Any]):
    """A memo that remembers nothing: one array under two keys becomes two arrays, as equal configs must act equally."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass

    def setdefault(self, key: int, default: Any = None, /) -> Any:
        return default


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping):
        return iter(list(config.items()))
    names = [field.name for field in dataclasses.fields(config)]
    return iter([(name, getattr(config, name)) for name in names if hasattr(config, name)])


def _text(value: Any) -> str | None:
    """None for a value without a canonical form: that of a key which does not count."""
    try:
        return canonical(typed(value))
    except NotCanonical:
        return None


def plain_copy(config: Any) -> Any:
    """A copy of a config with lists and dicts of its own. Arrays and instances are those of the config."""
    return Config(config) if isinstance(config, Mapping) else copy.copy(config)
