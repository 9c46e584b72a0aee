"""A table of results as lines for a screen of some width: columns are left out, or become rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.core.text import count, listed
from runner.reports import columns
from runner.reports.columns import LEAST_NAME, Column
from runner.reports.ending import BEST

FEW = 2  # rows that are shown as columns where they do not fit
LEAST_CELL, NAMED = 12, 6


@dataclass(frozen=True, slots=True)
class Screen:
    """`best` is the number of the line of the best job, `note` says what is not shown."""

    lines: Sequence[str]
    best: int | None = None
    note: str | None = None


def screen(table: Sequence[Column], width: int | None, best: int | None) -> Screen:
    """`table` has the names first; `best` is the row that is marked. Without a width, all of it as it is."""
    if width is None:
        return Screen(columns.lines(table))
    rows = len(table[0].cells)
    if rows <= FEW and sum(column.width + columns.GAP for column in table) - columns.GAP > width:
        return Screen(columns.lines(columns.fit(_transposed(table), width).columns))
    marks = [Column("", [BEST if row == best else "" for row in range(rows)])] if best is not None else []
    fitted = columns.fit([*marks, *table], width)
    return Screen(columns.lines(fitted.columns), None if best is None else best + 1, _note(fitted.left_out))


def _transposed(table: Sequence[Column]) -> list[Column]:
    """A row for each column, and a column for each row."""
    first, *others = table
    jobs = [
        Column(name, [column.cells[row] for column in others], least=LEAST_CELL) for row, name in enumerate(first.cells)
    ]
    return [Column(first.heading, [column.heading for column in others], least=LEAST_NAME), *jobs]


def _note(left_out: Sequence[str]) -> str | None:
    if not left_out:
        return None
    what = f"{count(len(left_out), 'column')} left out: {listed(left_out, NAMED)}"
    return f"{what}; --columns NAME ... shows them, --csv FILE has all"
