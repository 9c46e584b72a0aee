"""The curves of jobs as a few signs each, for `table` and `status`. Reads metrics.jsonl."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from runner.observers.signs import shows_unicode
from runner.reports import series
from runner.reports.job_record import rows_of
from runner.reports.sparkline import sparkline


def small_curves(folders: Iterable[Path], metric: str | None) -> list[str]:
    """A sparkline for each folder of a job; empty for one without this metric."""
    ascii_only = not shows_unicode(sys.stdout)
    return ["" if metric is None else _one(folder, metric, ascii_only=ascii_only) for folder in folders]


def _one(folder: Path, metric: str, *, ascii_only: bool) -> str:
    found = series.read(rows_of(folder)).get(metric)
    return "" if found is None else sparkline(found.kept, ascii_only=ascii_only)
