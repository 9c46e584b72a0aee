"""The runs of a sweep as a table: what they differ in and, once they ran, their results. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.core import redact
from runner.core.job import Job
from runner.core.state import COMPLETED, Finished, Record
from runner.core.text import count, plain

METRICS = ("val/loss", "val/accuracy")  # those that a table shows; the run with the lowest value of the first is best
COLUMNS = tuple(column for name in METRICS for column in (name, f"best {name}"))
MOST = 40  # rows at the end of a sweep, which fit on a screen
CELL = 40  # characters


def planned(jobs: Sequence[Job]) -> list[str]:
    """A row for each job, a column for each key in which jobs differ."""
    keys, configs = _varied(jobs)
    rows = [[job.name, *_cells(keys, config)] for job, config in zip(jobs, configs, strict=True)]
    return table(["run", *keys], rows)


def outcomes(records: Sequence[Record]) -> list[str]:
    """The same with the metrics of each run, its status where it did not complete, and which run is best.

    The best values of the runs are columns of their own where they are not the last ones.
    """
    keys, configs = _varied([record.job for record in records])
    found = [_metrics(record) for record in records]
    metrics = [name for name in COLUMNS if any(_tells(name, values) for values in found)]
    rows = []
    for record, config, values in zip(records, configs, found, strict=True):
        measured = [f"{values[name]:.4f}" if name in values else "" for name in metrics]
        ends = [] if record.status == COMPLETED else [record.status]
        status = ", ".join([*ends, *(f"warning: {plain(text, CELL)}" for text in record.warnings[:1])])
        rows.append([record.job.name, *_cells(keys, config), *measured, status])
    lines = table(["run", *keys, *metrics, ""], rows[:MOST])
    if len(rows) > MOST:
        lines.append(f"and {count(len(rows) - MOST, 'run')} more, in experiment.json")
    named = [(values, record.job.name) for record, values in zip(records, found, strict=True)]
    for metric in (METRICS[0], f"best {METRICS[0]}"):
        done = [(values[metric], name) for values, name in named if math.isfinite(values.get(metric, math.nan))]
        if len(done) > 1 and metric in metrics:
            value, name = min(done)
            lines.append(f"lowest {metric}: {name}, {value:.4f}")
    return lines


def _varied(jobs: Sequence[Job]) -> tuple[list[str], list[dict[str, Any]]]:
    """The keys in which jobs differ, those that the spec sets first, and the config of each job."""
    configs = [redact.mapping(job.config, job.not_secret) for job in jobs]
    known = dict.fromkeys(key for job in jobs for key in job.changes)
    for config in configs:
        known |= dict.fromkeys(config)
    return [key for key in known if len({repr(config.get(key)) for config in configs}) > 1], configs


def _metrics(record: Record) -> dict[str, float]:
    """The metrics of a completed run that are numbers; none of a run without the first one."""
    if not isinstance(record.state, Finished) or record.status != COMPLETED:
        return {}
    values = record.state.result.final_metrics
    found = {name: float(values[name]) for name in METRICS if isinstance(values.get(name), int | float)}
    if METRICS[0] not in found:
        return {}
    for name in METRICS:
        best = record.state.result.best_metrics.get(name)
        value = best.get("value") if isinstance(best, dict) else None
        if isinstance(value, int | float):
            found[f"best {name}"] = float(value)
    return found


def _tells(name: str, values: Mapping[str, float]) -> bool:
    """Whether a run has this metric; a best value counts only where it is not the last one."""
    last = name.removeprefix("best ")
    return name in values and (name == last or values[name] != values.get(last))


def _cells(keys: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    return [shown(config.get(key)) for key in keys]


def shown(value: Any, width: int = CELL) -> str:
    """A value of a config, short enough for a cell."""
    return plain("(not set)" if value is None else value if isinstance(value, str) else repr(value), width)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text in columns."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return [line.rstrip() for line in lines]
