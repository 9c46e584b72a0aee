"""Jobs with the same settings apart from the seed, as one group: how many, how good, how sure. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.core.fields import is_number
from runner.core.state import COMPLETED, INTERRUPTED, LOST, PENDING, PRUNED, RUNNING, UNREADABLE
from runner.reports import grouping
from runner.reports.comparing import student
from runner.reports.comparing.student import Interval
from runner.reports.table import Table

#: Jobs of which it is not known yet how good they are; the last one is that of a job of Hydra without metrics.
UNFINISHED = frozenset({PENDING, RUNNING, LOST, INTERRUPTED, UNREADABLE, PRUNED, "incomplete"})


@dataclass(frozen=True, slots=True)
class Group:
    """`settings`: those in which groups differ. `values`: the finite ones of completed jobs, `seeds` beside them.

    `failed` jobs ended without completing, `no_value` ones completed without a finite number.
    """

    settings: Mapping[str, Any]
    runs: tuple[str, ...]
    values: tuple[float, ...]
    seeds: tuple[str, ...]
    failed: int = 0
    no_value: int = 0
    unfinished: int = 0

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def mean(self) -> float | None:
        try:
            return student.mean(self.values) if self.values else None
        except OverflowError:
            return None

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def interval(self) -> Interval | None:
        """That of the mean; None for fewer than three values."""
        return student.interval(self.values)

    def to_json(self) -> dict[str, Any]:
        interval = self.interval
        return {
            "settings": dict(self.settings),
            "n": self.n,
            "failed": self.failed,
            "no_value": self.no_value,
            "unfinished": self.unfinished,
            "mean": self.mean,
            "lo": interval.lo if interval else None,
            "hi": interval.hi if interval else None,
            "median": self.median,
            "least": min(self.values, default=None),
            "most": max(self.values, default=None),
            "values": list(self.values),
            "runs": list(self.runs),
        }


def is_seed(key: str) -> bool:
    """Whether a setting is a seed by its name: `seed`, `data.seed`, `torch_seed`, `random_state`."""
    last = key.rpartition(".")[2].lower()
    return last.endswith("seed") or last == "random_state"


def seeds_of(found: Table) -> list[str]:
    """The settings that are seeds by their names."""
    return [key for key in grouping.settings_of(found) if is_seed(key)]


def differing(rows: Sequence[Mapping[str, Any]], keys: Collection[str]) -> list[str]:
    """Those of the settings that do not have the same value in all rows."""
    return [key for key in keys if len({repr(row.get(key)) for row in rows}) > 1]


def value_of(row: Mapping[str, Any], metric: str) -> float | None:
    """The metric of a job that completed, if it is a finite number."""
    value = row.get(metric)
    if row.get("status") != COMPLETED or not is_number(value):
        return None
    return float(value) if math.isfinite(value) else None  # type: ignore[arg-type]


def groups(found: Table, metric: str, over: Collection[str]) -> list[Group]:
    """The groups of jobs that differ in the settings `over` alone, in the order of their first jobs."""
    settings = [key for key in grouping.settings_of(found) if key not in over]
    shown = differing(found, settings)
    return [_group(members, shown, metric, over) for members in grouping.split(found, settings)]


def _group(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], metric: str, over: Collection[str]) -> Group:
    found = [(value_of(row, metric), repr([row.get(key) for key in over])) for row in rows]
    values = [(value, seed) for value, seed in found if value is not None]
    completed = sum(row.get("status") == COMPLETED for row in rows)
    unfinished = sum(row.get("status") in UNFINISHED for row in rows)
    return Group(
        {key: rows[0].get(key) for key in shown},
        tuple(str(row.get("name")) for row in rows),
        tuple(value for value, _ in values),
        tuple(seed for _, seed in values),
        failed=len(rows) - completed - unfinished,
        no_value=completed - len(values),
        unfinished=unfinished,
    )
