"""The comparison of a report: what `compare` says, and the metric by the values of each setting. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.core.fields import is_number
from runner.core.names import natural
from runner.core.state import COMPLETED
from runner.reports import comparison
from runner.reports.columns import Column
from runner.reports.comparing import student, text
from runner.reports.comparing.compare import Comparison
from runner.reports.comparing.groups import UNFINISHED, value_of
from runner.reports.document.clean import Clean
from runner.reports.document.content import Block, Cell, Effect, Level, Table
from runner.reports.table import Table as Rows

MOST_SETTINGS, MOST_LEVELS = 6, 12
DOTS = 40  # of one value of a setting
WIDTH = 14  # characters of a value


def blocks(found: Comparison, clean: Clean) -> tuple[Block, ...]:
    """The sections of `compare`."""
    return tuple(
        Block(
            clean(section.heading),
            tuple(map(clean, section.before)),
            _table(section.table, clean) if section.table else None,
            tuple(map(clean, section.after)),
        )
        for section in text.sections(found)
    )


def _table(columns: Sequence[Column], clean: Clean) -> Table:
    rows = zip(*([Cell(clean(cell), column.right) for cell in column.cells] for column in columns), strict=True)
    return Table(tuple(clean(column.heading.strip()) for column in columns), tuple(rows))


def effects(rows: Rows, found: Comparison, clean: Clean) -> tuple[Effect, ...]:
    """The metric by each setting, first those that matter most."""
    metric = found.metric
    if metric is None:
        return ()
    order = [key for part in found.importance.parts for key in part.keys if part.kind != "interaction"]
    keys = [key for key in dict.fromkeys([*order, *found.settings]) if key in found.settings]
    made = [effect for key in keys if (effect := _effect(rows, key, metric, clean)) is not None]
    return tuple(made[:MOST_SETTINGS])


def _effect(rows: Rows, key: str, metric: str, clean: Clean) -> Effect | None:
    """None for a setting with too many values to show each, or if jobs with only one of them have measured anything."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(repr(row.get(key)), []).append(row)
    if not 1 < len(groups) <= MOST_LEVELS or len(groups) > max(2, len(rows) // 2):
        return None
    ordered = sorted(groups.values(), key=lambda members: _order(members[0].get(key)))
    levels = tuple(_level(members, key, metric, clean) for members in ordered)
    return Effect(clean(key), clean(metric), levels) if sum(bool(level.values) for level in levels) > 1 else None


def _order(value: object) -> tuple[bool, float, Any]:
    """Numbers by their size, before everything else."""
    number = float(value) if is_number(value) else math.nan  # type: ignore[arg-type]
    known = math.isfinite(number)
    return not known, number if known else 0.0, natural(str(value))


def _level(rows: Sequence[Mapping[str, Any]], key: str, metric: str, clean: Clean) -> Level:
    values = sorted(value for row in rows if (value := value_of(row, metric)) is not None)
    try:
        mean = student.mean(values) if values else None
    except OverflowError:
        mean = None
    dots = values[:: len(values) // DOTS + 1] + values[-1:]
    failed = sum(row.get("status") not in (COMPLETED, *UNFINISHED) for row in rows)
    without = sum(row.get("status") == COMPLETED for row in rows) - len(values)
    label = comparison.shown(rows[0].get(key), WIDTH)
    return Level(clean(label), tuple(dict.fromkeys(dots)), mean, len(values), failed + without)
