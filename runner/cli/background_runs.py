"""Sweeps in the background, as a folder each: background_runs/<name>_<time>/ with nohup.log and run.json."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.cli import batch, inspect
from runner.cli import main as command_line
from runner.cli.commands.stop import stop
from runner.cli.parser import Parser
from runner.cli.show import print_json
from runner.core.errors import UserError, did_you_mean
from runner.core.fields import Fields
from runner.core.printing import say
from runner.core.state import INTERRUPTED, PENDING, SUCCESSES
from runner.core.text import plain
from runner.disk import record_file
from runner.disk.layout import BACKGROUND_RUNS, RUN_RECORD, BatchPaths
from runner.reports.status import BatchStatus

FOLDER = Path(BACKGROUND_RUNS)
#: The state of a batch as `status` shows it -> its name here.
STATES = {"running without a runner": "running", "ended": "failed"}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return command_line.guarded(lambda: _main(sys.argv[1:] if words is None else words), "run_background.py")


def _main(words: Sequence[str]) -> int:
    parser = _parser()
    given, rest = parser.parse_known_args(words)
    if given.experiment is not None and not (given.now or given.drain):
        json = ["--json"] if given.json else []
        return batch.main(["--exp", given.experiment, "--detach", *json, *rest])
    if rest or (given.stop is None and (given.now or given.drain)):
        word = rest[0] if rest else "--now" if given.now else "--drain"
        raise UserError(f"{word} was not expected here; see --help")
    if given.stop is not None:
        return stop(_root(given.stop), now=given.now, drain=given.drain)
    return _list(as_json=given.json)


def _parser() -> ArgumentParser:
    parser = Parser(prog="run_background.py", description=__doc__, allow_abbrev=False)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--experiment", metavar="SPEC", help="start a sweep; other options go to run_experiments.py")
    what.add_argument("--list", action="store_true", help="every run, the latest first: running, done, failed, dead")
    what.add_argument(
        "--stop", metavar="RUN", help="stop a run, given by its name or its folder; its job saves and leaves"
    )
    parser.add_argument("--json", action="store_true", help="with --list")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--now", action="store_true", help="with --stop: kill the running job and everything below it")
    how.add_argument("--drain", action="store_true", help="with --stop: let the running job finish, start no other")
    return parser


def _runs() -> Iterator[dict[str, Any]]:
    """Each run and its state now, the latest first."""
    records = [(record["started_at"], path.parent.name, record) for path, record in _records()]
    for _, name, record in sorted(records, key=lambda found: found[:2], reverse=True):
        found = inspect.batch_or_error(Path(record["experiment_dir"]))
        state = _state(found)
        about = {key: record.get(key) for key in ("experiment_dir", "spec", "started_at")}
        pid = (found.runner or {}).get("pid")  # of the runner that runs it now; the first one may be gone
        counts = found.error or found.counts()
        yield {"name": name, "state": state, "pid": pid, **about, "counts": counts}


def _state(found: BatchStatus) -> str:
    """In the words of this list. Jobs are left after a stop, and also where failures ended the batch."""
    statuses = {one.status for one in found.jobs.values()}
    if found.state == "stopped" and INTERRUPTED not in statuses and statuses - {*SUCCESSES, PENDING}:
        return "failed"
    return STATES.get(found.state, found.state)


def _records() -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in FOLDER.glob(f"*/{RUN_RECORD}"):
        record = _record(path)
        if record is not None and not path.parent.is_symlink():
            yield path, record


def _record(path: Path) -> dict[str, Any] | None:
    """The content of run.json; None for one that is torn, gone, or not ours."""
    found = record_file.look(str(path), _checked)
    return found if isinstance(found, dict) else None


def _checked(record: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for what is not the record of a run."""
    fields = Fields(record)
    spec, started_at = fields.text("spec", None), fields.text("started_at")
    return {"experiment_dir": fields.path("experiment_dir"), "spec": spec, "started_at": started_at}


def _list(*, as_json: bool) -> int:
    found = list(_runs())
    if as_json:
        print_json(found)
        return 0
    for run in found:
        who = f"pid {run['pid']}" if run["pid"] else ""
        say(f"{plain(run['name']):<44} {run['state']:<10} {who:<12} {plain(run['counts'])}".rstrip())
    if not found:
        say(f"{FOLDER.resolve()}: there is no run yet")
    return 0


def _root(named: str) -> Path:
    """The batch of a run."""
    path = Path(named)
    for folder in (path, FOLDER / path.name) if named else ():
        record = _record(folder / RUN_RECORD)
        if record is not None:
            return Path(record["experiment_dir"])
    if named and Path(BatchPaths(path).plan).is_file():
        return path.resolve()
    names = [run["name"] for run in _runs()]
    hint = did_you_mean(path.name, names) or f"there are {', '.join(names[:3]) or 'none'} in {FOLDER.resolve()}"
    raise UserError(f"{named!r}: no such run; {hint}")
