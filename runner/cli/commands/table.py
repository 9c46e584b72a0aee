"""`table FOLDER...`: the jobs in any folders of results as a table."""

from __future__ import annotations

import gc
import math
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from runner.cli import result_folders
from runner.cli.parser import add_base
from runner.cli.result_folders import no_column
from runner.cli.saving import save
from runner.cli.small_curves import small_curves
from runner.core import redact
from runner.core.csv_text import as_csv
from runner.core.errors import UserError
from runner.core.fields import is_number
from runner.core.printing import say, say_all, say_json, write_data
from runner.core.result import ADJUSTED
from runner.core.state import COMPLETED
from runner.core.text import ascii_signs, count, duration, plain
from runner.disk import atomic
from runner.observers.signs import shows_unicode
from runner.reports import best, comparison, grouping
from runner.reports.columns import Column, least_name
from runner.reports.grouping import Mean
from runner.reports.results_screen import LEAST_CELL, screen
from runner.reports.table import Table as Rows

MOST = 12  # measurements on a screen
#: Neither settings nor results.
BOOKKEEPING = ("iter", "max_iters", "time", "schema", "running_on", "warnings", "cause", ADJUSTED)
FIRST, LAST = ("name", "status"), ("seconds", "out_dir")
BESIDE_STATUS = frozenset(("running_on", "warnings", "cause", ADJUSTED))  # what its cell shows as well
PATHS = ("out_dir", "final_checkpoint")  # whole, so that they can be pasted
CHECKPOINT, NUMBER = "final_checkpoint", grouping.COUNT
RANKS = {"name": 0, NUMBER: 1, "status": 3, "seconds": 6, CHECKPOINT: 50}  # the highest is left out first
SETTING_RANK, SAME_STATUS_RANK, MEASURED_RANK = 4, 7, 10
BEST = tuple(f"best/{name}" for name in best.METRICS)  # shown where they are not the last values
FINAL = ("final/loss", "final/loss_stderr")  # of the whole validation text
PURPOSE = "One row for each job in these folders, whatever started it, those that failed included."
EPILOG = """\
Without --columns the table has the keys in which the configs differ, what was measured (on a screen at most twelve of
it), and the seconds. On a terminal what does not fit is left out, and said; the best job is marked. A file or a pipe
gets every column whole. With --over a row is the mean of the jobs that differ in that key alone.
Any folders will do: a batch, all of experiments/, a tree of outputs, a multirun of Hydra, out/ of the library. A batch
may be given by its name or the beginning of it; without a folder it is the latest one.
"""


HELP = "the jobs in any folders as a table: settings that differ, and results"


def add_arguments(parser: ArgumentParser) -> None:
    parser.description, parser.epilog = PURPOSE, EPILOG
    add_base(parser)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="default: the latest batch")
    parser.add_argument("--csv", metavar="FILE", help="write the table to FILE instead; - is standard output")
    parser.add_argument("--json", action="store_true", help="print all rows with all their columns as JSON")
    parser.add_argument("--sort", metavar="KEY", help="sort by this column; rows without a value come last")
    parser.add_argument("--reverse", action="store_true", help="the largest first")
    parser.add_argument(
        "--over", metavar="KEY", help="mean and standard deviation over the jobs that differ only in this key: seed"
    )
    parser.add_argument("--curves", action="store_true", help="show the course of the metric that compares jobs")
    parser.add_argument("--columns", nargs="+", metavar="KEY", help='these columns, or patterns of them, as in "val/*"')


def main(given: Namespace) -> int:
    gc.disable()  # the rows are many objects, of which none is given back before the end
    try:
        return _table(given)
    finally:
        gc.enable()


def _table(given: Namespace) -> int:
    found = result_folders.rows(given)
    result_folders.with_resources(found, [*(given.columns or ()), given.sort or ""])
    if given.over is not None:
        found = _over(found, given.over)
    columns = _columns(found, given.columns, most=MOST if given.csv is None else None)
    rows = _sorted(found, given.sort, backwards=given.reverse)
    try:
        _write(given, found, columns, rows)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        raise
    except OSError as error:
        place = "standard output" if given.csv in (None, "-") else f"--csv {given.csv}"
        raise UserError(f"{place}: cannot be written ({error.strerror}); name another file") from None
    return 0


def _over(found: Rows, key: str) -> Rows:
    """A row for each group of jobs that differ in this key alone. Raises UserError for what is not a setting."""
    rows, left_out = grouping.grouped(found, result_folders.over(found, key))
    if left_out:
        say(f"Note: without {count(left_out, 'job')} that did not complete", file=sys.stderr)
    if len(rows) > 1 and all(row[NUMBER] == 1 for row in rows):
        say(f"Note: no two jobs differ in {key} alone; --over takes several keys: {key},OTHER", file=sys.stderr)
    if not rows:
        raise UserError("--over: no job has completed")
    return rows


def _columns(found: Rows, chosen: Sequence[str] | None, most: int | None) -> list[str]:
    """The columns that are shown; without a choice at most `most` of the measurements."""
    if chosen is None:
        return _informative(found, most)
    columns: list[str] = []
    for pattern in _named(chosen, found):
        matches = [name for name in found.columns if name == pattern] or [
            name for name in found.columns if fnmatchcase(name, pattern)
        ]
        if not matches:
            raise UserError(f"--columns: {no_column(pattern, found)}")
        columns += matches
    return list(dict.fromkeys(columns))


def _named(chosen: Sequence[str], found: Rows) -> list[str]:
    """The names and patterns of columns, also those in one word: `lr,val/loss`."""
    return [part for word in chosen for part in ([word] if word in found.columns else word.split(",")) if part]


def _informative(found: Rows, most: int | None) -> list[str]:
    """The name, the keys in which configs differ, the measurements, the status and the seconds.

    Of the measurements the quality of the result comes first (losses and accuracies of an evaluation), then those at
    the top level of the record, then the nested ones.
    """
    inner = [column for column in found.columns if column not in (*FIRST, *LAST, *BOOKKEEPING, CHECKPOINT, NUMBER)]
    config = [column for column in inner if column not in found.measured]
    differing = [column for column in config if _differs(column, found)]
    measured = sorted((column for column in inner if column in found.measured and _tells(column, found)), key=_place)
    if NUMBER in found.columns:
        return [*differing, NUMBER, *measured[:most], LAST[0]]
    checkpoint = [CHECKPOINT] if CHECKPOINT in found.columns else []
    return [FIRST[0], *differing, *measured[:most], FIRST[1], LAST[0], *checkpoint]


def _differs(column: str, found: Rows) -> bool:
    first = repr(found[0].get(column)) if found else ""
    return any(repr(row.get(column)) != first for row in found)


def _tells(column: str, found: Rows) -> bool:
    """Whether a measurement is shown without a choice: of the best ones those of an evaluation, if they say more."""
    if not column.startswith("best/"):
        return True
    last = column.removeprefix("best/")
    return column in BEST and any(row.get(column) != row.get(last) for row in found)


def _place(column: str) -> tuple[bool, bool]:
    """The sort key of a measurement: False comes first."""
    return column not in (*best.METRICS, *BEST, *FINAL), "." in column


def _sorted(found: Rows, key: str | None, *, backwards: bool) -> list[dict[str, Any]]:
    if key is None:
        return list(reversed(found)) if backwards else list(found)
    if key not in found.columns:
        raise UserError(f"--sort: {no_column(key, found)}")
    known = [row for row in found if _there(row.get(key))]
    rest = [row for row in found if not _there(row.get(key))]
    return sorted(known, key=lambda row: _rank(row[key]), reverse=backwards) + rest


def _there(value: Any) -> bool:
    value = value.mean if isinstance(value, Mean) else value
    return value is not None and value == value  # NaN cannot be sorted


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before everything else."""
    value = value.mean if isinstance(value, Mean) else value
    number = isinstance(value, bool) or is_number(value)
    return not number, float(value) if number else 0.0, "" if number else str(value)


def _write(given: Namespace, found: Rows, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    declared = found.not_secret
    if given.json:
        say_json(atomic.as_json([redact.mapping(grouping.flat(row), declared) for row in rows]))
    elif given.csv is not None:
        names = list(
            dict.fromkeys(name for row in rows for name in grouping.flat({key: row.get(key) for key in columns}))
        )
        text = _csv(names, [grouping.flat(row) for row in rows], declared)
        if given.csv == "-":
            write_data(text)
        else:
            save(Path(given.csv), text.encode(errors="backslashreplace"))
            say(f"{count(len(rows), 'row')} in {given.csv}")
    else:
        ranks = _ranks(columns, found, given)
        table = [
            Column(plain(name), _cells(name, rows, declared), ranks[name], least=_least(name, found))
            for name in columns
        ]
        _show([*table, *_curves(rows, found, given)], _best(rows, found, given.sort))


def _curves(rows: Sequence[dict[str, Any]], found: Rows, given: Namespace) -> list[Column]:
    """A column with the curve of each job, if it was asked for."""
    if not given.curves:
        return []
    metric = best.compared_by([dict.fromkeys(sorted(found.measured), 1)])
    cells = small_curves([Path(str(row.get("out_dir"))) for row in rows], metric)
    return [Column(plain(f"curve of {metric}"), cells, SETTING_RANK)] if any(cells) else []


def _ranks(columns: Sequence[str], found: Rows, given: Namespace) -> dict[str, int]:
    """What is left out first on a screen has the highest rank: of chosen columns the last one."""
    if given.columns is not None:
        return {name: place for place, name in enumerate(columns)}
    ranks = {}
    for place, name in enumerate(columns):
        first = name == given.sort or name in best.METRICS[:1] or place == 0
        of_results = MEASURED_RANK - (name in (*best.METRICS, *BEST, *FINAL)) * (MEASURED_RANK - 5)
        ranks[name] = RANKS.get(name, int(not first) * (of_results if name in found.measured else SETTING_RANK))
    if len({row.get("status") for row in found}) == 1:
        ranks["status"] = SAME_STATUS_RANK
    return ranks


def _least(name: str, found: Rows) -> int | None:
    """To what a column can be cut: names and texts, not numbers that were measured."""
    if name == FIRST[0]:
        return least_name([str(row.get(name)) for row in found])
    return None if name in found.measured or name in RANKS else LEAST_CELL


def _best(rows: Sequence[dict[str, Any]], found: Rows, key: str | None) -> int | None:
    """The place of the best job that completed: by the column that sorts, or by what compares jobs."""
    names = [name for name in ([key] if key and best.is_compared(key) else []) if name in found.measured]
    metric = names[0] if names else best.compared_by([{name: 1 for name in found.columns if name in found.measured}])
    if metric is None:
        return None
    done = [row if row.get("status", COMPLETED) == COMPLETED else {} for row in rows]
    values = [value.mean if isinstance(value := row.get(metric), Mean) else value for row in done]
    return best.index(values, best.better(metric))


def _show(table: Sequence[Column], place: int | None) -> None:
    """Print the table; on a terminal as much of it as fits, with the best row in another colour."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    shown_part = screen(table, width, place)
    signs = str if shows_unicode(sys.stdout) else ascii_signs
    console = Console(file=sys.stdout, highlight=False, width=width or 1 << 16)
    at, lines = shown_part.best, list(map(signs, shown_part.lines))
    if at is not None:
        say_all("\n".join(lines[:at]))
        console.print(Text(plain(lines[at]), style="bold green"), soft_wrap=True)
        lines = lines[at + 1 :]
    if lines:
        say_all("\n".join(lines))
    if shown_part.note:
        say(signs(shown_part.note))


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]], shown: Collection[str]) -> str:
    recorded = (redact.mapping(row, shown) for row in rows)
    return as_csv(columns, ([row.get(column) for column in columns] for row in recorded))


def _cells(column: str, rows: Sequence[dict[str, Any]], shown: Collection[str]) -> list[str]:
    """The cells of a column. No float is a secret; a text of many rows is looked at once."""
    number: Callable[[Any], str] = duration if column == "seconds" else "%.5g".__mod__
    values = [row.get(column) for row in rows]
    if set(map(type, values)) == {float}:
        return list(map(number, values))
    texts = [value for value in values if type(value) is str] if column != "status" else []
    if texts and len(texts) == len(values) and _shown_as_they_are(column, texts):
        return texts
    known: dict[str, str] = {}
    cells = []
    for row, value in zip(rows, values, strict=True):
        if type(value) is float:
            cells.append(number(value))
        elif type(value) is str and not (column == "status" and row.keys() & BESIDE_STATUS):
            if value not in known:
                known[value] = plain(_cell(column, row, shown))
            cells.append(known[value])
        else:
            cells.append(plain(_cell(column, row, shown)))
    return cells


def _shown_as_they_are(column: str, texts: Sequence[str]) -> bool:
    """Whether these texts are short, and hold neither a secret nor what could control a terminal."""
    whole = " ".join(texts)
    harmless = max(map(len, texts)) <= comparison.CELL and plain(whole) == whole
    return harmless and redact.is_clear(column, "\n".join(texts))


def _cell(column: str, row: dict[str, Any], shown: Collection[str]) -> str:
    if isinstance(value := row.get(column), Mean):
        return _mean(column, value)
    value = redact.mapping({column: value}, shown)[column]
    if value is None:
        return ""
    if column in PATHS:
        return plain(str(value))
    if column == "status" and row.get("running_on"):
        return f"{value} on {row['running_on']}"
    if column == "status":
        cause = "" if row.get("warnings") or not row.get("cause") else f", {row['cause']}"
        warnings = f", {count(len(row['warnings']), 'warning')}" if row.get("warnings") else ""
        return f"{value}{', adjusted' if row.get(ADJUSTED) else ''}{warnings}{cause}"
    if column == "seconds" and isinstance(value, int | float):
        return duration(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    return comparison.shown(value)


def _mean(column: str, value: Mean) -> str:
    if column == "seconds":
        return duration(value.mean) if math.isfinite(value.mean) else ""
    return f"{value.mean:.5g}" + ("" if value.std is None else f" ± {value.std:.2g}")
