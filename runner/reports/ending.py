"""The table at the end of a batch: how each job ended, what it measured, and which one is best. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.core import program
from runner.core.job import Plan
from runner.core.state import COMPLETED, PENDING, PRUNED, Finished, Record
from runner.core.text import count, duration, plain
from runner.reports import best, columns
from runner.reports.columns import GAP, Column, least_name

MOST = 40  # rows, where the height of the screen is not known
FEWEST = 5  # rows, however small the screen is
SETTINGS = 6  # settings that are shown of configs that were not made by a spec, and in the line on the best one
SHORT = 24  # a setting with wider values, such as a list, tells nothing in a cell
LEAST_KEY = 6  # to which a heading of a setting is cut
SETTING = 20  # the rank from which on columns are settings of such configs
WIDE = 120  # columns of a file or a pipe that are filled with such settings
SWEEP = "comparison"  # the listing of a sweep: its varied keys are what it is about
BEST, GOOD, WARNED, BAD, LEFT, CUT = "★", "✓", "!", "✗", "-", "–"


def ending(
    plan: Plan,
    records: Sequence[Record],
    width: int | None,
    rows: int | None,
    settings: Sequence[Column],
) -> list[str]:
    """A row for each job that fits into `rows`, and a line on those that do not; `settings` are what jobs differ in."""
    ranking = Ranking(records)
    shown = _chosen(records, ranking, max(rows or MOST, FEWEST))
    table = [column for column in _columns(plan, records, shown, settings, ranking) if any(column.cells)]
    fixed = sum(column.width + GAP for column in table if column.rank < SETTING)
    usual = None if plan.kind.listing == SWEEP else max(WIDE, fixed)
    lines = columns.lines(columns.fit(table, usual if width is None else width).columns)
    if len(shown) < len(records):
        kept = set(shown)
        lines.append(_folded(plan, [record for place, record in enumerate(records) if place not in kept]))
    return lines


def best_jobs(records: Sequence[Record], settings: Sequence[Column]) -> list[str]:
    """`lowest val/loss: run_003, 2.1054 (learning_rate 0.005, seed 1)`, and the job that had a better one meanwhile."""
    ranking = Ranking(records)
    found: dict[int, str] = {}  # the place of a job -> what is said of it
    settings = [key for key in settings if key.width <= SHORT][:SETTINGS]
    for title, values in [(ranking.metric, ranking.last), (f"{ranking.metric} at any time", ranking.best)]:
        place = ranking.first_of(values)
        if place is not None and (ranking.tells or values is ranking.last):
            how = ", ".join(f"{key.heading} {key.cells[place]}" for key in settings if key.cells[place])
            job = f"{plain(records[place].job.name)}, {best.number(values[place])}" + (f" ({how})" if how else "")
            found.setdefault(place, f"{best.WORDS[ranking.direction]} {title}: {job}")
    return list(found.values())


def _metrics(record: Record) -> Mapping[str, Any]:
    """The last values of a job that completed."""
    if isinstance(record.state, Finished) and record.status == COMPLETED:
        return record.state.result.final_metrics
    return {}


class Ranking:
    """Which of the jobs that completed is best by a metric, without one by that which compares them.

    It is so by its last values, or by its best ones where those say more.
    """

    def __init__(self, records: Sequence[Record], metric: str | None = None) -> None:
        self._completed = [record.status == COMPLETED for record in records]
        metric = metric or best.compared_by(map(_metrics, records))
        self.metric = metric
        self.direction = best.better(metric or "")
        values = [best.of_record(record, metric) if metric else (None, None) for record in records]
        self.last = [last for last, _ in values]
        self.best = [value for _, value in values]
        self.tells = any(value is not None and value != last for last, value in values)  # best and last values differ
        self.first = self.first_of(self.best if self.tells else self.last)

    def first_of(self, values: Sequence[float | None]) -> int | None:
        """The place of the best of these values of the jobs; None if there is nothing to compare."""
        compared = [value if counts else None for value, counts in zip(values, self._completed, strict=True)]
        return best.index(compared, self.direction)

    def columns(self, rank: int) -> list[Column]:
        """The last values, and the best ones where they say more; those are dropped later."""
        last = Column(self.metric or "", list(map(best.number, self.last)), rank + self.tells, right=True)
        if not self.tells:
            return [last]
        return [last, Column(f"best {self.metric}", list(map(best.number, self.best)), rank, right=True)]

    def order(self, place: int) -> float:
        """The sort key of a job: the best first, one without a value last."""
        value = self.best[place] if self.tells else self.last[place]
        if value is None or value != value:
            return float("inf")
        return -value if self.direction == "max" else value


def _chosen(records: Sequence[Record], ranking: Ranking, most: int) -> list[int]:
    """The places of the jobs that are shown, in their order: if not all fit, those with a warning and the best ones.

    The others that did not complete are explained below the table.
    """
    if len(records) <= most:
        return list(range(len(records)))
    completed = [place for place, record in enumerate(records) if record.status == COMPLETED]
    return sorted(
        heapq.nsmallest(most - 1, completed, key=lambda place: (not records[place].warnings, ranking.order(place)))
    )


def _folded(plan: Plan, hidden: Sequence[Record]) -> str:
    """`and 20 jobs more (18 completed, 2 failed); all of them: overnight table experiments/night`"""
    statuses = [record.status for record in hidden]
    numbers = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    return f"and {count(len(hidden), 'job')} more ({numbers}); all of them: {program.offered('table', plan.root)}"


def _columns(
    plan: Plan, records: Sequence[Record], places: Sequence[int], settings: Sequence[Column], ranking: Ranking
) -> list[Column]:
    """All that could be shown of the jobs at these places; what matters least has the highest rank."""
    sweep = plan.kind.listing == SWEEP
    told = settings if sweep else [key for key in settings if key.width <= SHORT][:SETTINGS]
    keys = [
        replace(_at(key, places), rank=3 if sweep else SETTING + number, least=max(LEAST_KEY, *map(len, key.cells)))
        for number, key in enumerate(told)
    ]
    some = [records[place] for place in places]
    names = [plain(record.job.name) for record in some]
    several = len(set(map(_state, records))) > 1
    more = best.METRICS[1:] if ranking.metric == best.METRICS[0] else ()
    return [
        Column("", [_mark(records[place], is_best=place == ranking.first) for place in places]),
        Column("run" if sweep else "job", names, least=least_name(names)),
        *keys,
        Column("state", [_state(record) for record in some], 4 if several else 8),
        *(_at(column, places) for column in ranking.columns(rank=1)),
        *(_at(column, places) for name in more for column in Ranking(records, name).columns(rank=7)),
        Column("time", [_time(record) for record in some], 6, right=True),
    ]


def _at(column: Column, places: Sequence[int]) -> Column:
    """The column without the cells of other jobs."""
    return replace(column, cells=[column.cells[place] for place in places])


def _mark(record: Record, *, is_best: bool) -> str:
    if not isinstance(record.state, Finished):
        return LEFT
    if record.status != COMPLETED:
        return CUT if record.status == PRUNED else BAD
    return WARNED if record.warnings else BEST if is_best else GOOD


def _state(record: Record) -> str:
    if record.status == COMPLETED and record.cached:
        return f"{COMPLETED} earlier"
    if isinstance(record.state, Finished) and record.state.result.adjusted:
        return f"{record.status}, adjusted"
    return "not started" if record.status == PENDING else record.status


def _time(record: Record) -> str:
    return duration(record.state.seconds) if isinstance(record.state, Finished) else ""
