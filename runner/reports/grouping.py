"""Rows of results that differ in nothing but a seed, as one row each: mean and standard deviation. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from runner.core.fields import is_number
from runner.core.state import COMPLETED
from runner.reports.table import Table

#: Columns of one job, not of its work.
ABOUT = ("name", "status", "out_dir", "final_checkpoint", "warnings", "running_on", "cause")
COUNT = "n"


class Mean(NamedTuple):
    """`std` is that of a sample; None for one value."""

    mean: float
    std: float | None


class Grouped(NamedTuple):
    """`rows` has `n`, the settings, and a Mean for each measurement. `left_out` rows did not complete."""

    rows: Table
    left_out: int


def grouped(found: Table, keys: Collection[str]) -> Grouped:
    """A row for each group of completed jobs that differ in the settings `keys` alone."""
    completed = [row for row in found if row.get("status") == COMPLETED]
    settings = [name for name in settings_of(found) if name not in keys]
    measured = [name for name in found.columns if name not in ABOUT and (name in found.measured or name == "seconds")]
    rows = Table(_group(members, settings, measured) for members in split(completed, settings))
    rows.measured, rows.not_secret = found.measured, found.not_secret
    return Grouped(rows, len(found) - len(completed))


def settings_of(found: Table) -> list[str]:
    """The columns that are settings."""
    return [name for name in found.columns if name not in (*ABOUT, "seconds") and name not in found.measured]


def split(rows: Iterable[Mapping[str, Any]], settings: Sequence[str]) -> list[list[Mapping[str, Any]]]:
    """The rows in groups with equal values of these settings, in the order of their first rows."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(repr(row.get(name)) for name in settings), []).append(row)
    return list(groups.values())


def _group(members: Sequence[Mapping[str, Any]], settings: Iterable[str], measured: Iterable[str]) -> dict[str, Any]:
    made: dict[str, Any] = {COUNT: len(members)}
    made |= {name: members[0][name] for name in settings if name in members[0]}
    for name in measured:
        values = [float(row[name]) for row in members if is_number(row.get(name))]
        if values:
            made[name] = _mean(values)
    return made


def _mean(values: Sequence[float]) -> Mean:
    mean = sum(values) / len(values)
    if len(values) == 1:
        return Mean(mean, None)
    return Mean(mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)))


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for a file: `val/loss` is the mean, `val/loss/std` the standard deviation."""
    made: dict[str, Any] = {}
    for name, value in row.items():
        made[name] = value.mean if isinstance(value, Mean) else value
        if isinstance(value, Mean):
            made[f"{name}/std"] = value.std
    return made
