"""The folders of results that a command was given, as rows: a folder, a batch by its name, or the latest batch."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from runner.cli.batch_folders import batches, find, is_latest
from runner.cli.parser import base_folder
from runner.core.errors import UserError, did_you_mean
from runner.core.text import shown
from runner.disk import layout
from runner.reports import best, grouping, resources, series
from runner.reports.job_record import rows_of
from runner.reports.load_results import load_results
from runner.reports.table import Table

TENTH = 10  # the part of a curve that its tail is
RESOURCES = "resources"  # the beginning of columns on the use of the machine


def rows(given: Namespace) -> Table:
    """The results in `given.folders`, or in the latest batch. Raises UserError if there are none."""
    folders = [folder(given, named) for named in given.folders or [""]]
    try:
        found = load_results(*folders)
    except NotADirectoryError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
    if not found:
        raise UserError(f"{', '.join(folders)}: there is no result of a job in it; name another folder")
    return found


def with_resources(found: Table, chosen: Sequence[str]) -> None:
    """Add what the jobs used of the machine, as `resources.max_memory`, if a column is named so, or a pattern."""
    if not any(name.startswith(f"{RESOURCES}.") for name in chosen):
        return
    added: dict[str, None] = {}
    for row in found:
        used = resources.of_folder(Path(str(row.get("out_dir"))))
        row |= {f"{RESOURCES}.{key}": value for key, value in used.items()}
        added |= dict.fromkeys(f"{RESOURCES}.{key}" for key in used)
    found.measured |= frozenset(added)


def with_tails(found: Table, metric: str) -> str:
    """Add the mean of the last tenth of each curve of a metric, if it is finite; returns the name of that column."""
    name = f"{best.TAIL}{metric}"
    for row in found:
        curve = series.read(rows_of(Path(str(row.get("out_dir"))))).get(metric)
        values = [value for _, value in curve.kept] if curve is not None else []
        last = values[-max(len(values) // TENTH, 1) :]
        row[name] = fmean(last) if last and all(map(math.isfinite, last)) else None
    if all(row[name] is None for row in found):
        cause = f"no job has a curve of {metric!r} whose last tenth is finite"
        raise UserError(f"--of tail: {cause}; name another one with --metric")
    found.measured |= {name}
    return name


def folder(given: Namespace, named: str) -> str:
    """A folder, or that of the batch that is called or begins so; what is neither is left, for the error about it."""
    base = base_folder(given)
    known = [layout.LATEST, *(root.name for root in batches(base))]
    is_batch = is_latest(named) or any(name.startswith(named) for name in known)
    if named and (Path(named).is_dir() or not is_batch):
        return named
    return shown(find(base, named))


def over(found: Table, words: str) -> list[str]:
    """The settings that `--over` names. Raises UserError for what is not a setting."""
    keys = [words] if words in found.columns else words.split(",")
    settings = grouping.settings_of(found)
    for name in keys:
        if name not in found.columns:
            raise UserError(f"--over: {no_column(name, found)}")
        if name not in settings:
            raise UserError(f"--over: {name} is not a setting; name one that differs between the jobs, such as seed")
    return keys


def no_column(named: str, found: Table) -> str:
    """A sentence on a column that is not there."""
    hint = did_you_mean(named, found.columns) or f"there are {', '.join(found.columns[:12])}, …"
    return f"there is no column {named!r}; {hint}"
