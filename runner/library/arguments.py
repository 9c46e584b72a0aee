"""The command line of a script that calls `experiment.run()`: words -> options. Does not read sys.argv itself."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.cli.parser import Parser
from runner.core.errors import UserError

EPILOG = """\
Results are kept in the output folder, OUT/NAME-HASH/result.pkl; a config that has one is not computed again.
Exit code: 0 if every config has a result, 1 if one has none, 2 for an error in the arguments or in a config,
128 + N after signal N (130 for Ctrl+C).
"""


@dataclass(frozen=True, slots=True)
class Given:
    """What is to be done with the configs. `workers` above 1 means a process of its own for each."""

    report: bool = False
    rerun: bool = False
    dry_run: bool = False
    only: tuple[str, ...] = ()
    workers: int = 1
    isolate: bool = False
    warm: bool = False
    code: Literal["ignore", "warn", "rerun"] = "warn"
    adopt: str | None = None

    @property
    def isolated(self) -> bool:
        return self.isolate or self.warm or self.workers > 1


class _Parser(Parser):
    def error(self, message: str) -> Any:
        raise _unusable(message)


def parser(program: str) -> argparse.ArgumentParser:
    found = _Parser(
        prog=program, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = found.add_argument
    add("--report", action="store_true", help="compute nothing, only report on the existing results")
    add("--rerun", action="store_true", help="compute every config again; an old result stays until there is a new one")
    add("--dry-run", action="store_true", help="print what would be computed and why, and write nothing")
    add("--only", nargs="+", action="extend", default=[], metavar="NAME", help="only these configs")
    add("--workers", type=_positive, default=1, metavar="N", help="N configs at once; more than one implies --isolate")
    add("--isolate", action="store_true", help="each config in a process of its own, with logs, under supervision")
    add("--warm", action="store_true", help="import torch once, each process is a fork of that; implies --isolate")
    add(
        "--code",
        choices=("ignore", "warn", "rerun"),
        default="warn",
        help="when the code has changed since a result was computed: use it, use it and print a warning (default), or "
        "compute it again",
    )
    add(
        "--adopt",
        metavar="OLD",
        help="results of the function that was called OLD, or file.py:OLD, are those of this one",
    )
    return found


def parse(words: Sequence[str], program: str) -> Given:
    """Raises UserError; --help prints itself and ends the program."""
    values: Mapping[str, Any] = vars(parser(program).parse_args(list(words)))
    given = Given(**{**values, "only": tuple(values["only"])})
    if given.report and (given.rerun or given.isolated or given.dry_run):
        raise _unusable("--report computes nothing; use it without --rerun, --dry-run, --isolate and --workers")
    if given.adopt is not None and (given.report or given.rerun or given.dry_run):
        raise _unusable("--adopt changes records of results; use it without --report, --rerun and --dry-run")
    return given


def _unusable(cause: str) -> UserError:
    return UserError(f"{cause}; --help explains")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; give 1 or more")
    return int(text)


def program_of(scope: Mapping[str, Any], argv: Sequence[str]) -> Path | None:
    """The file of the main program, if the code with these globals is it and `argv` are its arguments; else None.

    A notebook, a prompt and `python -c` are not such a file; nor is a module that another program imported or ran.
    """
    file = scope.get("__file__")
    if scope.get("__name__") != "__main__" or not file or not argv or not argv[0]:
        return None
    started = Path(argv[0])
    return Path(file) if started.exists() and started.resolve() == Path(file).resolve() else None
