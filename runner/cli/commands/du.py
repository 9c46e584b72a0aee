"""`du`: how much disk space batches take."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from runner.cli import batch_folders
from runner.cli.parser import add, add_base, base_folder
from runner.cli.show import print_json
from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import plain, size
from runner.disk import usage
from runner.disk.usage import Usage
from runner.planners import recorded
from runner.reports.columns import Column, lines

HELP = "the disk space of batches: checkpoints, logs, the rest"


def add_arguments(parser: ArgumentParser) -> None:
    add_base(parser)
    parser.add_argument("batch", nargs="*", metavar="BATCH", help="default: all of the base folder")
    add(parser, "json", action="store_true", help="print JSON, in bytes")


def main(given: Namespace) -> int:
    base = base_folder(given)
    roots = batch_folders.find_several(base, given.batch) if given.batch else list(batch_folders.batches(base))
    found = {root: of_batch(root) for root in roots}
    if given.json:
        print_json([{"name": root.name, "experiment_dir": str(root), **it.to_json()} for root, it in found.items()])
        return 0
    if not found:
        say(batch_folders.none_yet(base))
        return 0
    for line in lines(_columns(found)):
        say(line)
    return 0


def of_batch(root: Path) -> Usage:
    """The usage of a batch; of one that cannot be read every folder counts as that of a job."""
    try:
        plan = recorded.plan(root)
    except UserError:
        return usage.of_batch(root, [path for path in root.iterdir() if path.is_dir()])
    return usage.of_batch(plan.root, [job.out_dir for job in plan.jobs], plan.options.checkpoints)


def _columns(found: Mapping[Path, Usage]) -> list[Column]:
    """A row for each batch, and one for all of them."""
    names, values = [plain(root.name) for root in found], list(found.values())
    if len(found) > 1:
        names.append("all")
        values.append(sum(values, Usage()))
    kinds = [Column(kind, [size(one.to_json()[kind]) for one in values], right=True) for kind in Usage().to_json()]
    return [Column("batch", names), *kinds]
