"""Begin an attempt: put the files of the one before aside, decide how the job goes on, place its inputs.

The newest attempt stands in the job's folder itself, earlier ones in attempt_1/, attempt_2/, … below it.
"""

from __future__ import annotations

import errno
import json
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.core.job import Attempt, Job, Plan
from runner.core.state import COMPLETED
from runner.disk import atomic, layout, results
from runner.disk.reading import final_checkpoint
from runner.processes import process_id, process_tree

CLEARED_WITHIN = 5.0  # seconds that a supervisor may need for what a job left behind, once it has recorded the end


def begin(job: Job, facts: Mapping[str, Any]) -> Attempt:
    """Make the job's folder ready for its next attempt, and write what is known before the start. Raises OSError."""
    if job.out_dir.is_symlink():
        raise OSError(errno.ELOOP, "the job's folder is a link", str(job.out_dir))
    job.out_dir.mkdir(parents=True, exist_ok=True)
    clear(job)
    number = last(job) + 1
    before = results.read_result(job)
    begun = number > 1 and (before is None or before["status"] != COMPLETED)  # a completed job is done anew, all of it
    checkpoint = final_checkpoint(str(job.out_dir)) if job.resume_args and begun else None
    set_aside(job, whole=checkpoint is None)
    for name, content in job.files.items():
        atomic.write_bytes(job.out_dir / name, content)
    attempt = Attempt(job, number, command(job, checkpoint), {**job.env, process_tree.MARK: uuid.uuid4().hex})
    atomic.write_json(job.out_dir / layout.METADATA, results.metadata(attempt, facts))
    return attempt


def command(job: Job, checkpoint: str | None) -> tuple[str, ...]:
    """The planned command; with the job's copy of a config that was edited since; and with what lets it go on."""
    argv = job.argv
    if job.source is not None and job.snapshot is not None and _edited(job, job.source):
        alone = layout.RESOLVED if layout.RESOLVED in job.files else job.snapshot  # a copy finds no base beside itself
        copy = str(job.out_dir / alone)
        argv = tuple(copy if argument == job.source_argument else argument for argument in argv)
    if checkpoint is None:
        return argv
    values = {"{checkpoint}": checkpoint, "{out_dir}": str(job.out_dir)}
    more = list(job.resume_args)
    for placeholder, value in values.items():
        more = [word.replace(placeholder, value) for word in more]
    return (*argv, *more)


def _edited(job: Job, source: Path) -> bool:
    """True if the config, or a file that it builds on, is no longer what was planned."""
    planned = {source: job.files.get(job.snapshot or ""), **job.bases}
    try:
        return any(content is not None and path.read_bytes() != content for path, content in planned.items())
    except OSError:
        return True


def last(job: Job) -> int:
    """The number of the newest attempt of which anything is left; 0 if there was none."""
    folders = job.out_dir.glob(f"{layout.ATTEMPT}*")
    numbers = [int(text) for path in folders if (text := path.name.removeprefix(layout.ATTEMPT)).isdecimal()]
    return max([*numbers, _standing(job) or 0])


def _standing(job: Job) -> int | None:
    """The number of the attempt that stands in the job's folder itself; None if none does."""
    for name in (layout.METADATA, layout.RESULT):
        try:
            return int(json.loads((job.out_dir / name).read_bytes()).get("attempt", 1))
        except (OSError, ValueError, AttributeError):
            continue
    return None


def set_aside(job: Job, *, whole: bool) -> None:
    """Move the attempt that stands in the job's folder into a folder of its own: all of it, or the runner's files only.

    The metadata goes last: if this is cut short, the next call goes on with the same number.
    """
    number = _standing(job)
    if number is None:
        return
    aside = job.out_dir / f"{layout.ATTEMPT}{number}"
    if aside.is_symlink():  # planted by the job: its files would leave the batch
        aside.unlink()
    aside.mkdir(exist_ok=True)
    for path in sorted(job.out_dir.iterdir(), key=lambda path: path.name == layout.METADATA):
        earlier = path.name.startswith(layout.ATTEMPT) and path.is_dir()
        ours = path.name in (*layout.RUNNER_OWNED, layout.RESOLVED) or path.stem == "config_used"
        if not earlier and (whole or ours):
            path.rename(aside / path.name)
    atomic.sync_folder(job.out_dir)


def put_away_strangers(job: Job) -> None:
    """Move aside what another program left in the folder of a job that never ran there.

    Nothing of it is lost, or taken for the job's own.
    """
    if not job.out_dir.is_dir() or job.out_dir.is_symlink() or _standing(job) is not None:
        return
    strangers = [
        path
        for path in job.out_dir.iterdir()
        if path.name not in job.files and not (path.name.startswith(layout.ATTEMPT) and path.is_dir())
    ]
    if strangers:
        aside = job.out_dir / f"{layout.ATTEMPT}{last(job) + 1}"
        aside.mkdir()
        for path in strangers:
            path.rename(aside / path.name)
        atomic.sync_folder(job.out_dir)


def clear(job: Job) -> None:
    """Remove what a crash left: half-written files, and processes of an attempt whose end nobody recorded."""
    for path in job.out_dir.glob(".*.tmp"):
        path.unlink(missing_ok=True)
    if results.read_result(job) is None and (mark := _mark(job)):
        process_tree.kill_marked(mark)


def clear_batch(plan: Plan) -> None:
    """Remove what a crash of the engine left, and what was left running by supervisors that are gone."""
    for path in plan.root.glob(".*.tmp"):
        path.unlink(missing_ok=True)
    for job in plan.jobs:
        path = job.out_dir / layout.SUPERVISOR
        try:
            found = json.loads(path.read_bytes())
            if results.read_result(job) is not None:
                _wait_for(found["supervisor"])  # it has recorded the end, and clears up
            if process_id.alive(found["supervisor"]):
                continue
            process_tree.kill_marked(found["mark"])
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):  # not ours, or torn
            pass
        path.unlink(missing_ok=True)


def _wait_for(supervisor: list[str]) -> None:
    deadline = time.monotonic() + CLEARED_WITHIN
    while process_id.alive(supervisor) and time.monotonic() < deadline:
        time.sleep(0.02)


def put_away_completed(job: Job) -> None:
    """Move a completed attempt aside, so that the job can be run from its beginning."""
    if results.finished(job) is not None:
        set_aside(job, whole=True)


def _mark(job: Job) -> str | None:
    try:
        found = json.loads((job.out_dir / layout.METADATA).read_bytes())["environment"][process_tree.MARK]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)
