"""What the jobs of a batch differ in, and the table of a sweep before it runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    configs = [redact.mapping(job.config, job.not_secret) for job in jobs]
    known = dict.fromkeys(key for job in jobs for key in job.changes)
    for config in configs:
        known |= dict.fromkeys(config)
    keys = [key for key in known if len({repr(found(key, config)) for config in configs}) > 1]
    sections = {key.partition(".")[0] for key in keys if "." in key}  # what differs in them has columns of its own
    keys = [key for key in keys if key not in sections]
    return [Column(plain(key), [_cell(config, key) for config in configs]) for key in keys]


def _cell(config: Mapping[str, Any], key: str) -> str:
    return shown(found(key, config))


def shown(value: Any, width: int = CELL) -> str:
    """A value of a config, short enough for a cell."""
    return plain("(not set)" if value is None else value if isinstance(value, str) else repr(value), width)
