"""`table FOLDER...`: the jobs in any folders of results as a table."""

from __future__ import annotations

import csv
import io
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runner.cli.batch_folders import batches, find
from runner.cli.parser import add_base, base_folder
from runner.core import redact
from runner.core.errors import UserError, did_you_mean
from runner.core.text import count, duration, shown
from runner.disk import atomic, layout
from runner.reports import comparison
from runner.reports.load_results import load_results
from runner.reports.table import Table as Rows

MOST = 12  # measurements on a screen
BOOKKEEPING = ("iter", "max_iters", "time", "schema", "running_on", "warnings")  # neither settings nor results
FIRST, LAST = ("name", "status"), ("seconds", "out_dir")
BEST = tuple(f"best/{name}" for name in comparison.METRICS)  # shown where they are not the last values
FINAL = ("final/loss", "final/loss_stderr")  # of the whole validation text
PURPOSE = "One row for each job in these folders, whatever started it, those that failed included."
EPILOG = """\
Without --columns the table has the keys in which the configs differ, what was measured (on a screen at most twelve of
it), and the seconds.
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
    parser.add_argument("--columns", nargs="+", metavar="KEY", help='these columns, or patterns of them, as in "val/*"')


def main(given: Namespace) -> int:
    folders = [_folder(given, folder) for folder in given.folders or [""]]
    try:
        found = load_results(*folders)
    except NotADirectoryError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
    if not found:
        raise UserError(f"{', '.join(folders)}: there is no result of a job in it; name another folder")
    columns = _columns(found, given.columns, most=MOST if given.csv is None else None)
    rows = _sorted(found, given.sort, backwards=given.reverse)
    try:
        _write(given, columns, rows, found.not_secret)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        raise
    except OSError as error:
        place = "standard output" if given.csv in (None, "-") else f"--csv {given.csv}"
        raise UserError(f"{place}: cannot be written ({error.strerror}); name another file") from None
    return 0


def _folder(given: Namespace, named: str) -> str:
    """A folder, or that of the batch that is called or begins so; what is neither is left, for the error about it."""
    base = base_folder(given)
    known = [layout.LATEST, *(root.name for root in batches(base))]
    if named and (Path(named).is_dir() or not any(name.startswith(named) for name in known)):
        return named
    return shown(find(base, named))


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
            raise UserError(f"--columns: {_no_column(pattern, found)}")
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
    inner = [column for column in found.columns if column not in (*FIRST, *LAST, *BOOKKEEPING)]
    config = [column for column in inner if column not in found.measured]
    differing = [column for column in config if len({repr(row.get(column)) for row in found}) > 1]
    measured = sorted((column for column in inner if column in found.measured and _tells(column, found)), key=_place)
    return [FIRST[0], *differing, *measured[:most], FIRST[1], LAST[0]]


def _tells(column: str, found: Rows) -> bool:
    """Whether a measurement is shown without a choice: of the best ones those of an evaluation, if they say more."""
    if not column.startswith("best/"):
        return True
    last = column.removeprefix("best/")
    return column in BEST and any(row.get(column) != row.get(last) for row in found)


def _place(column: str) -> tuple[bool, bool]:
    """The sort key of a measurement: False comes first."""
    return column not in (*comparison.METRICS, *BEST, *FINAL), "." in column


def _no_column(named: str, found: Rows) -> str:
    hint = did_you_mean(named, found.columns) or f"there are {', '.join(found.columns[:12])}, …"
    return f"there is no column {named!r}; {hint}"


def _sorted(found: Rows, key: str | None, *, backwards: bool) -> list[dict[str, Any]]:
    if key is None:
        return list(reversed(found)) if backwards else list(found)
    if key not in found.columns:
        raise UserError(f"--sort: {_no_column(key, found)}")
    known = [row for row in found if _there(row.get(key))]
    rest = [row for row in found if not _there(row.get(key))]
    return sorted(known, key=lambda row: _rank(row[key]), reverse=backwards) + rest


def _there(value: Any) -> bool:
    return value is not None and value == value  # NaN cannot be sorted


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, before everything else."""
    number = isinstance(value, int | float)
    return not number, float(value) if number else 0.0, "" if number else str(value)


def _write(given: Namespace, columns: Sequence[str], rows: Sequence[dict[str, Any]], shown: Collection[str]) -> None:
    if given.json:
        print(atomic.as_json([redact.mapping(row, shown) for row in rows]))
    elif given.csv is not None:
        text = _csv(columns, rows, shown)
        if given.csv == "-":
            print(text, end="")
        else:
            _save(Path(given.csv), text.encode(errors="backslashreplace"))
            print(f"{count(len(rows), 'row')} in {given.csv}")
    else:
        print_table(columns, [[_cell(column, row, shown) for column in columns] for row in rows])


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print lines in columns, each as wide as its widest cell: no cell is cut or wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in head:
        table.add_column(Text(name), no_wrap=True, overflow="ignore")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(file=sys.stdout, highlight=False, color_system=None)
    wide = Console(file=io.StringIO(), width=1 << 16, color_system=None)
    wide.print(table)
    for line in wide.file.getvalue().splitlines():  # type: ignore[attr-defined]
        console.out(line.rstrip())


def _save(path: Path, content: bytes) -> None:
    """A file is replaced atomically; a pipe or a device, such as /dev/stdout, is written to and never replaced."""
    if path.exists() and not path.is_file():
        path.write_bytes(content)
    else:
        atomic.write_bytes(path.resolve(), content)


def _csv(columns: Sequence[str], rows: Sequence[dict[str, Any]], shown: Collection[str]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(redact.mapping(row, shown) for row in rows)
    return text.getvalue()


def _cell(column: str, row: dict[str, Any], shown: Collection[str]) -> str:
    value = redact.mapping({column: row.get(column)}, shown)[column]
    if value is None:
        return ""
    if column == "status" and row.get("running_on"):
        return f"{value} on {row['running_on']}"
    if column == "status" and row.get("warnings"):
        return f"{value}, {count(len(row['warnings']), 'warning')}"
    if column == "seconds" and isinstance(value, int | float):
        return duration(value)
    if isinstance(value, float):
        return f"{value:.5g}"
    return comparison.shown(value)
