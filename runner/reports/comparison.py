"""What the jobs of a batch differ in, and the table of a sweep before it runs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.configs.overrides import found
from runner.core import redact
from runner.core.job import Job
from runner.core.text import plain
from runner.reports import columns
from runner.reports.columns import Column

CELL = 40  # characters


def planned(jobs: Sequence[Job]) -> list[str]:
    """A row for each job, a column for each key in which jobs differ."""
    return columns.lines([Column("run", [plain(job.name) for job in jobs]), *varied(jobs)])


def varied(jobs: Sequence[Job]) -> list[Column]:
    """A column for each key in which jobs differ, those that the spec sets first."""
    known = dict.fromkeys(key for job in jobs for key in job.changes)
    for keys, not_secret in dict.fromkeys((tuple(job.config), job.not_secret) for job in jobs):
        known |= dict.fromkeys(redact.mapping(dict.fromkeys(keys), not_secret))
    first: dict[str, Any] = {}
    cells: dict[str, list[str]] = {}
    for place, job in enumerate(jobs):  # one by one: the configs of thousands take much memory
        config = redact.mapping(job.config, job.not_secret)
        first = first or {key: found(key, config) for key in known}
        for key, before in first.items():
            value = found(key, config)
            if key not in cells and repr(value) != repr(before):
                cells[key] = [shown(before)] * place
            if key in cells:
                cells[key].append(shown(value))
    sections = {key.partition(".")[0] for key in cells if "." in key}  # what differs in them has columns of its own
    return [Column(plain(key), cells[key]) for key in first if key in cells and key not in sections]


def shown(value: Any, width: int = CELL) -> str:
    """A value of a config, short enough for a cell."""
    return plain("(not set)" if value is None else value if isinstance(value, str) else repr(value), width)
