"""Entries by name: built-in ones, those that a checkout registers, and those that installed packages offer.

A package offers one as an entry point, in its pyproject.toml:

    [project.entry-points."runner.observers"]
    pager = "my_package.pager:Pager"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from runner.core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """`group` names the entry points, `noun` what an entry is called in a sentence.

    A built-in entry is given as `module:name`, or `module`, and imported when it is used. Entry points are searched
    only for an unknown name, and for the list of all names: the search costs milliseconds.
    """

    def __init__(self, group: str, noun: str, built_in: Mapping[str, str]) -> None:
        self.group = group
        self._noun = noun
        self._built_in = tuple(built_in)
        self._targets = dict(built_in)

    def register(self, name: str, target: str) -> None:
        """Add an entry of this process, as `module:name`. Raises ValueError for a name that another entry has."""
        if self._targets.setdefault(name, target) != target:
            raise ValueError(f"{self._noun} {name!r} is registered already, as {self._targets[name]}")

    def get(self, name: str) -> T:
        """The entry. Raises UserError for an unknown name, and for a plugin that cannot be imported."""
        if name in self._targets:
            return _load(self._targets[name])  # type: ignore[no-any-return]
        offers = self._offered.get(name, [])
        if len(offers) > 1:
            values = " and ".join(sorted(point.value for point in offers))
            raise UserError(f"{self._noun} {name!r} is offered by two packages, as {values}; uninstall one of them")
        if not offers:
            names = self.names()
            hint = did_you_mean(name, names) or f"there are {', '.join(names) or 'none'}"
            raise UserError(f"unknown {self._noun} {name!r}; {hint}")
        try:
            return offers[0].load()  # type: ignore[no-any-return]
        except Exception as error:  # whatever another package's module raises
            cause = f"cannot be loaded ({type(error).__name__}: {error})"
            raise UserError(f"{self._noun} {name!r}, {offers[0].value}: {cause}; fix or uninstall it") from None

    def names(self) -> list[str]:
        """Every name: built-in, registered, and offered by installed packages."""
        return list(dict.fromkeys([*self._targets, *self._offered]))

    def local_names(self) -> list[str]:
        """The names that are known without a look at the installed packages."""
        return list(self._targets)

    def by_priority(self) -> Iterator[str]:
        """Every name, where the first entry that fits is taken: registered, offered by packages, built-in."""
        yield from [name for name in self._targets if name not in self._built_in]
        yield from [name for name in self._offered if name not in self._targets]
        yield from self._built_in

    def targets(self) -> list[str]:
        """Every entry as `module:name`, where the first one that fits is taken; for a process that imports them."""
        values = {name: points[0].value for name, points in self._offered.items()}
        return [self._targets.get(name) or values[name] for name in self.by_priority()]

    def beyond(self) -> bool:
        """Whether there are entries beside the built-in ones."""
        return bool(self._offered) or len(self._targets) > len(self._built_in)

    @cached_property
    def _offered(self) -> dict[str, list[EntryPoint]]:
        from importlib.metadata import entry_points  # tens of milliseconds, which --help must not cost

        points = entry_points(group=self.group)
        return {name: [*points.select(name=name)] for name in points.names}


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)
