"""`rm`: remove batches that do not run."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from runner.cli import batch_folders, inspect
from runner.cli.commands import du
from runner.cli.parser import add, add_base, base_folder
from runner.cli.removing import agreed, job_errors, refuse_running
from runner.cli.session import locked_batch
from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import count, plain, shown, size
from runner.disk import layout, plan_file, removal

HELP = "remove batches, with all that is in their folders"
DECLINED = 1  # exit code


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="+", metavar="BATCH")
    add(parser, "yes", action="store_true", help="do not ask; required without a terminal")


def main(given: Namespace) -> int:
    base = base_folder(given)
    roots = batch_folders.find_several(base, given.batch, lambda name, root: _refused(base, name, root))
    refuse_running(*roots)
    sizes = {root: du.of_batch(root).total for root in roots}
    for root in roots:
        batch = inspect.batch_or_error(root)
        say(f"{shown(root)}: {batch.state}, {batch.counts() or 'jobs unknown'}, {size(sizes[root])}")
    what = "this batch" if len(roots) == 1 else f"these {count(len(roots), 'batch').replace('batchs', 'batches')}"
    if not agreed(f"Remove {what}?", yes=given.yes):
        say("Nothing was removed.")
        return DECLINED
    for root in roots:
        remove(root)
        say(f"{shown(root)}: removed, {size(sizes[root])} freed", flush=True)
    return 0


def remove(root: Path) -> None:
    """Remove one batch while nobody else can start it; `latest` then points to the newest one that is left."""
    with locked_batch(root):
        if errors := list(job_errors(root)):
            raise UserError(*errors)
        removal.remove_batch(root)
    removal.repair_latest(root.parent, next(batch_folders.batches(root.parent), None))


def _refused(base: Path, name: str, root: Path) -> Iterator[str]:
    """Why a folder is not removed, whoever asks.

    A link of the user's own is not followed: it may be there so that the batch is kept elsewhere.
    """
    real = root.resolve()
    places = (Path.cwd() / Path(name).expanduser(), base / name)
    if any(path.is_symlink() and path.name != layout.LATEST and plan_file.exists(path) for path in places):
        yield f"{plain(name)}: is a link to {shown(real)}; name the folder itself"
    elif not plan_file.exists(root):
        yield f"{shown(root)}: is not a batch (it has no {layout.PLAN}); name the folder of one"
    elif Path.cwd().resolve().is_relative_to(real):
        yield f"{shown(root)}: is, or contains, the current folder; change to another one first"
    elif base.resolve().is_relative_to(real):
        yield f"{shown(root)}: contains the folder of the batches; remove it yourself"
    elif (real / ".git").exists():
        yield f"{shown(root)}: contains a git repository; remove it yourself"
