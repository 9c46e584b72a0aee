"""Configs and results as a table: a row for each config. Knows nothing of files."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.reports.comparing.compare import Comparison
    from runner.reports.comparing.groups import Group

#: Most values; this check is quicker than one for a Mapping.
_PLAIN = frozenset((str, int, float, bool, list, type(None)))
_TEXT = frozenset((str,))


class Table(list[dict[str, Any]]):
    """Rows in the sequence of the configs: a list of dicts. `measured`: the columns that are results."""

    measured: frozenset[str] = frozenset()
    not_secret: frozenset[str] = frozenset()  # names that the batches declared to be no secrets
    causes: Mapping[str, str] = MappingProxyType({})  # out_dir of a job that failed -> why, `?` behind it: not sure

    @property
    def columns(self) -> list[str]:
        """Every key of every row, sorted by first occurrence."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self)))

    def to_frame(self) -> Any:
        """A pandas.DataFrame. Raises ImportError, with the fix, if pandas is not installed."""
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError("to_frame() needs pandas; pip install pandas") from error
        return pandas.DataFrame(list(self), columns=self.columns)

    def groups(
        self, metric: str | None = None, goal: str | None = None, over: Collection[str] | None = None
    ) -> tuple[Group, ...]:
        """The jobs in groups that differ in `over` alone (default: the seeds), the best first by a metric.

        `metric` and `goal` (`min` or `max`) are found by their names where they are not given. Raises ValueError.
        """
        comparing = importlib.import_module("runner.reports.comparing.compare")  # not for those who only want a table
        found: Comparison = comparing.compare(self, metric, goal, over)
        return found.groups


def row(name: str, status: str, config: Mapping[str, Any], result: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    """`name`, `status`, the keys of the config, those of the result if it is a mapping (else `result`), and `about`.

    Nested mappings become `optimizer.lr`. A key of the result that the row has already becomes `result.key`, and one of
    the config `config.key`.
    """
    made = {"name": name, "status": status}
    settings = flattened(config)
    if settings.keys() & {"name", "out_dir", "status", *about}:
        for key, value in settings.items():
            if key not in ("name", "out_dir"):
                made[f"config.{key}" if key == "status" or key in about else key] = value
    else:
        made |= settings
    found = flattened(result) if isinstance(result, Mapping) else {} if result is None else {"result": result}
    if made.keys() & found or about.keys() & found:
        for key, value in found.items():
            made[f"result.{key}" if key in made or key in about else key] = value
    else:
        made |= found
    return made | dict(about)


def flattened(values: Mapping[Any, Any]) -> dict[str, Any]:
    """Every entry, those of mappings inside as `optimizer.lr`."""
    if isinstance(values, dict) and _PLAIN.issuperset(map(type, values.values())):
        return dict(values) if _TEXT.issuperset(map(type, values)) else {str(key): it for key, it in values.items()}
    return dict(flat(values))


def flat(values: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Every entry, those of mappings inside as `optimizer.lr`."""
    for key, value in values.items():
        if type(value) not in _PLAIN and isinstance(value, Mapping) and value:
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
