"""`rerun`: run jobs of a batch again, with the same settings or with others."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from runner.cli import batch, other_settings
from runner.cli.batch_words import add_words, batch_and_jobs
from runner.cli.option_types import positive
from runner.cli.options import ONLY
from runner.cli.parser import add, add_base, base_folder
from runner.core.errors import UserError

HELP = "run jobs of a batch again, as a new attempt"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    add_words(parser, "*", "JOB...", "default: the latest batch")
    parser.add_argument("--only", choices=ONLY, help="of these jobs, or of all if none is named, run these only")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", metavar="KEY=VALUE",
        help="change a setting of the jobs, which start from scratch; repeatable",
    )  # fmt: skip
    add(parser, "dry_run", action="store_true", help="print commands, folders and changes; start and write nothing")
    add(parser, "detach", action="store_true", help="run in the background, also after logout")
    add(parser, "max_workers", type=positive, metavar="N", help="N jobs at a time (default: as the batch has it)")
    add(parser, "quiet", action="store_true", help="print only what failed, and the end")
    add(parser, "accept_moved", action="store_true", help="also if the batch was moved or copied since")


def main(given: Namespace) -> int:
    unnamed = "name the jobs that are to be run again, or give --only; see --help"
    if not given.words and given.only is None:
        raise UserError(unnamed)
    plan, names = batch_and_jobs(base_folder(given), given.words)
    if not names and given.only is None:
        raise UserError(unnamed)
    settings = other_settings.read("set", given.settings)
    return batch.rerun(plan.root, frozenset(names) or None, given.only, settings, options=_options(given))


def _options(given: Namespace) -> list[str]:
    """The words of the options that all commands have which run a batch."""
    flags = [f"--{name}" for name in ("dry_run", "detach", "quiet", "accept_moved") if getattr(given, name)]
    return [*flags, *([] if given.max_workers is None else [f"--max_workers={given.max_workers}"])]
