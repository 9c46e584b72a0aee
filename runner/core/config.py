"""Config: a dict whose keys are attributes too. Knows nothing of files, hashes or jobs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import TypeVar

    Value = TypeVar("Value", default=Any)
else:
    from typing import TypeVar

    Value = TypeVar("Value")


class Config(dict[str, Value]):
    """`config["lr"]` and `config.lr` are the same value. Mappings inside, in lists and tuples too, become Configs.

    A key that is called like a method of dict (`items`, `copy`) is reached by `config["items"]` only. Making a Config
    copies what it is made from, so that no other dict changes with it. The values of a `Config[float]` are floats.
    """

    if TYPE_CHECKING:  # the library adds these to each config that a function gets
        name: str
        out_dir: Path

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:
        super().__init__({key: copied(value) for key, value in dict(values, **more).items()})

    def __getattr__(self, name: str) -> Value:
        if name.startswith("__"):  # pickle and copy look for such attributes in every object
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the config has no key {name!r}{_nearest(name, self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(dict, name):
            raise AttributeError(f"{name!r} is a method of every dict; write config[{name!r}] = …")
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"the config has no key {name!r}{_nearest(name, self)}") from None

    def __setitem__(self, key: str, value: Any) -> None:
        held: Any = value if isinstance(value, Config) else copied(value)
        super().__setitem__(key, held)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(key for key in self if isinstance(key, str) and key.isidentifier())]

    def __repr__(self) -> str:
        return f"Config({super().__repr__()})"

    def copy(self) -> Self:
        """An independent copy of the config and of all configs, lists and tuples in it."""
        return type(self)(self)

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        for key, value in dict(values, **more).items():
            self[key] = value

    def __or__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        return type(self)({**self, **other}) if isinstance(other, Mapping) else NotImplemented

    def __ror__(self, other: Mapping[str, Any]) -> Self:  # type: ignore[override]
        return type(self)({**other, **self}) if isinstance(other, Mapping) else NotImplemented

    def __ior__(self, other: Any) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self


def copied(value: Any) -> Any:
    """The value with every dict in it as a Config of its own, every list and tuple copied, and all else as it is."""
    kind = type(value)
    if kind is dict:
        return Config(value)
    if kind is list or kind is tuple:
        return kind(map(copied, value))
    return value.copy() if isinstance(value, Config) else value


def _nearest(name: str, config: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, [key for key in config if isinstance(key, str)], 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    keys = ", ".join(map(str, cast(Iterable[str], config)))
    return f"; it has {keys}" if keys else ""
