"""The comparison of jobs as one value, for the command, the library and a report. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from runner.core import redact
from runner.reports import best, grouping
from runner.reports.comparing import failures, ranking, student
from runner.reports.comparing.failures import CAUSE, Finding
from runner.reports.comparing.groups import Group, differing, groups, seeds_of, value_of
from runner.reports.comparing.importance import Importance, importance
from runner.reports.comparing.ranking import Tie
from runner.reports.table import Table


class Unknown(ValueError):
    """What cannot be compared. `what` is the name of the option that would help: `metric`, `goal` or `over`."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(why)
        self.what = what


@dataclass(frozen=True, slots=True)
class Comparison:
    """`over`: the settings that do not count, seeds. `same`: settings that all jobs have, with their values."""

    jobs: int
    metric: str | None
    goal: str | None
    over: tuple[str, ...]
    settings: tuple[str, ...]
    same: dict[str, Any]
    groups: tuple[Group, ...]  # the best first
    ties: tuple[Tie, ...]
    importance: Importance
    failures: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "jobs": self.jobs,
            "metric": self.metric,
            "goal": self.goal,
            "over": list(self.over),
            "settings": list(self.settings),
            "same": self.same,
            "interval": student.METHOD,
            "groups": [group.to_json() for group in self.groups],
            "ranking": ranking.METHOD,
            "not_distinguishable_from_best": [tie.place for tie in self.ties],
            **self.importance.to_json(),
            "failures": [finding.to_json() for finding in self.failures],
        }


def compare(
    found: Table, metric: str | None = None, goal: str | None = None, over: Collection[str] | None = None
) -> Comparison:
    """Compare jobs by a metric: `val/loss` if they have it, else the first one with a better and a worse.

    `goal`: `min` or `max`, by default as the name of the metric says. `over`: settings that are averaged over, by
    default the seeds. Raises Unknown.
    """
    metric = _metric(found, metric)
    goal = _goal(metric, goal)
    rows = _redacted(found)
    known = grouping.settings_of(rows)
    over = tuple(seeds_of(rows) if over is None else over)
    if unknown := [key for key in over if key not in known]:
        raise Unknown("over", f"{unknown[0]!r} is not a setting of these jobs")
    settings = [key for key in known if key not in over]
    shown = differing(rows, settings)
    ordered = ranking.ranked(groups(rows, metric or "", over), goal or "min")
    measured = [(row, value) for row in rows if metric and (value := value_of(row, metric)) is not None]
    return Comparison(
        len(rows), metric, goal, over, tuple(shown),
        {key: rows[0].get(key) for key in settings if key not in shown},
        tuple(ordered), tuple(ranking.ties(ordered)),
        _importance([row for row, _ in measured], [value for _, value in measured], shown),
        tuple(failures.findings(rows, metric, shown)),
    )  # fmt: skip


def _importance(rows: Sequence[dict[str, Any]], values: Sequence[float], keys: Collection[str]) -> Importance:
    try:
        return importance(rows, values, keys)
    except OverflowError:
        return Importance(refused="values are too large to be squared")


def _redacted(found: Table) -> Table:
    """The same rows with secrets replaced and with the cause of a failure."""
    rows = Table(redact.mapping(row, found.not_secret) for row in found)
    for row in rows:
        if (cause := found.causes.get(str(row.get("out_dir")))) is not None:
            row[CAUSE] = cause
    rows.measured, rows.not_secret = found.measured | {CAUSE}, found.not_secret
    return rows


def _metric(found: Table, named: str | None) -> str | None:
    """The metric that is compared; None if nothing was measured."""
    if named is None:
        return best.compared_by({key: row[key] for key in row if key in found.measured} for row in found)
    if named not in found.measured:
        raise Unknown("metric", f"there is no metric {named!r}")
    return named


def _goal(metric: str | None, goal: str | None) -> str | None:
    if metric is None or goal is not None:
        return goal
    if not best.is_compared(metric):
        raise Unknown("goal", f"it is not known whether a low or a high {metric} is better; say min or max")
    return best.better(metric)
