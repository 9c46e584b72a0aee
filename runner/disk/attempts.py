"""Begin an attempt: archive the files of the previous one, decide how the job continues, place its inputs.

The latest attempt is in the job's folder itself, earlier ones are in attempt_1/, attempt_2/, … below it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.core import resume_words
from runner.core.fields import Fields, is_path
from runner.core.job import Attempt, Job, Plan
from runner.core.result import Result
from runner.core.state import COMPLETED, Record
from runner.disk import atomic, layout, nonce, record_file, results, supervisor_file
from runner.disk.checkpoints import latest_checkpoint
from runner.disk.place import Place
from runner.disk.reading import read_bytes
from runner.disk.supervisor_file import SupervisorRecord
from runner.processes import process_tree

CLEANED_WITHIN = 5.0  # seconds that a supervisor may need to clean up after a job whose end it has recorded


NO_CHECKPOINT = "no checkpoint found; starts from the beginning"


def begin(
    job: Job,
    provenance: Mapping[str, Any],
    environment: Mapping[str, str],
    checkpoints: Sequence[str] = (),
    mark: str | None = None,
) -> Attempt:
    """Prepare the job's folder for its next attempt, and write what is known before the start.

    `environment` is added to that of the job, for this attempt. `checkpoints` are patterns of what counts as one; none:
    the usual ones. `mark` is that of the attempt. Raises OSError, also for a job that runs on another host.
    """
    folder = Place.of_job(job)
    folder.make()
    number, checkpoint, note = _continued(job, checkpoints) if folder.names_in() else (1, None, "")
    own = {process_tree.MARK: mark or new_mark(), process_tree.FOLDER: str(job.out_dir)}
    added = {**environment, **job.env, **own}
    attempt = Attempt(job, number, command(job, checkpoint), added, note, nonce.new())
    metadata = atomic.json_bytes(results.metadata(attempt, provenance))
    atomic.write_files(folder, {**job.files, layout.METADATA: metadata})
    return attempt


def _continued(job: Job, checkpoints: Sequence[str]) -> tuple[int, str | None, str]:
    """Archive the attempt before; returns the number of the next one, from what it continues, and a note on that."""
    clean_up(job)
    number = last(job) + 1
    resumes = continues(job)
    checkpoint = latest_checkpoint(str(job.out_dir), checkpoints) if resumes else None
    archive_attempt(job, whole=checkpoint is None)
    note = NO_CHECKPOINT if resumes and checkpoint is None and not _completed_before(job, number) else ""
    return number, checkpoint, note


def new_mark() -> str:
    """A value that no other attempt has, of any job."""
    return uuid.uuid4().hex


def take_back(attempt: Attempt) -> None:
    """Forget an attempt whose job was not started: the next one has its number."""
    with contextlib.suppress(OSError):  # then it counts
        (Place.of_job(attempt.job) / layout.METADATA).remove()


def not_started(job: Job, error: OSError | ValueError) -> Record:
    """The record of a job whose folder or supervisor cannot be made.

    It is written down as its result, if that can be done and no result of an earlier attempt would be lost. Never
    raises: the folder may be a file, or not for us to read.
    """
    cause = error.strerror or error if isinstance(error, OSError) else error
    place = getattr(error, "filename", None) or job.out_dir
    result = results.lost(Attempt(job, last(job) + 1, job.argv, job.env), f"cannot be started: {cause} ({place})")
    if results.look(job.out_dir) is None:
        results.write_result(job, result)
    return results.record(job, result)


def continues(job: Job) -> bool:
    """Whether the next attempt continues from a checkpoint, if there is one; a completed job is run from scratch."""
    before = results.read_result(job)
    return bool(job.resume_args) and last(job) > 0 and (before is None or before.status != COMPLETED)


def _completed_before(job: Job, number: int) -> bool:
    """Whether the previous attempt, which is archived, completed: then this one is to start from the beginning."""
    result = results.look(job.out_dir / f"{layout.ATTEMPT}{number - 1}")
    return isinstance(result, Result) and result.status == COMPLETED


def command(job: Job, checkpoint: str | None) -> tuple[str, ...]:
    """The planned command, with the job's own copy of a config that was edited, and the arguments that resume it.

    A config that was executed to read it is replaced by its values: executed once more it might have others.
    """
    argv = job.argv
    if job.source is not None and job.snapshot is not None and (job.runs_resolved or _edited(job, job.source)):
        copy = _own_copy(job) or ""
        argv = tuple(
            copy if argument == job.source_argument else job.copy_words.get(index, argument)
            for index, argument in enumerate(argv)
        )
    if checkpoint is None:
        return argv
    return (*argv, *resume_words.filled(job.resume_args, checkpoint=checkpoint, out_dir=str(job.out_dir)))


def config_argument(attempt: Attempt) -> str | None:
    """The word of the attempt's command that is its config; None if it is a part of a word, or not there."""
    words = (attempt.job.source_argument, _own_copy(attempt.job))
    return next((word for word in words if word and word in attempt.argv), None)


def _own_copy(job: Job) -> str | None:
    """The path of the config's copy in the job's folder, as a program can use it."""
    # The exact copy of a config cannot be used alone if it has a base.
    alone = layout.RESOLVED if layout.RESOLVED in job.files else job.snapshot
    return None if alone is None else str(job.out_dir / alone)


def _edited(job: Job, source: Path) -> bool:
    """True if the config, or a base of it, has changed since it was planned."""
    planned = {source: job.files.get(job.snapshot or ""), **job.bases}
    try:
        return any(content is not None and read_bytes(path, links=True) != content for path, content in planned.items())
    except OSError:
        return True


def last(job: Job) -> int:
    """The number of the latest attempt that left a file; 0 if there was none."""
    return max(_last_archived(job), _current(job) or 0)


def _last_archived(job: Job) -> int:
    folder = Place.of_job(job)
    numbers = [
        int(number)
        for path in job.out_dir.glob(f"{layout.ATTEMPT}*")
        if (number := path.name.removeprefix(layout.ATTEMPT)).isdecimal() and _is_archive(folder / path.name)
    ]
    return max(numbers, default=0)


def _current(job: Job) -> int | None:
    """The number of the attempt in the job's folder itself; None if there is none."""
    found = [record_file.look(str(job.out_dir / name), _number) for name in (layout.METADATA, layout.RESULT)]
    for number in found:
        if isinstance(number, int):
            complete = os.path.lexists(job.out_dir / f"{layout.ATTEMPT}{number}" / layout.METADATA)
            return _last_archived(job) + 1 if complete else number  # of an earlier attempt no file is replaced
    return None if found == [None, None] else _last_archived(job) + 1


def _number(record: dict[str, Any]) -> int:
    number: int = Fields(record).whole("attempt", 1, least=1)
    return number


def archive_attempt(job: Job, *, whole: bool) -> None:
    """Move the attempt in the job's folder into a folder of its own: all of it, or the runner's files only.

    The metadata is moved last: if this is cut short, the next call continues with the same number.
    """
    number = _current(job)
    if number is None:
        return
    folder = Place.of_job(job)
    archive = folder / f"{layout.ATTEMPT}{number}"
    if Path(archive).is_symlink():  # planted by the job
        archive.remove()
    elif os.path.lexists(archive) and not archive.is_folder():  # a file of the job, archived like its others
        archive.move(_free(archive))
    names = [name for name in folder.names_in() if (whole or _is_ours(name)) and not _is_archive(folder / name)]
    folder.move_into(archive, sorted(names, key=lambda name: name == layout.METADATA))


def _is_ours(name: str) -> bool:
    owned = name in (*layout.RUNNER_OWNED, layout.RESOLVED) or layout.is_log(name)
    return owned or Path(name).stem == "config_used"


def _free(place: Place) -> Place:
    """A name beside a file that nothing has."""
    names = (place.parent / f"{place.name}.{number}" for number in itertools.count(1))
    return next(name for name in names if not os.path.lexists(name))


def archive_foreign_files(job: Job) -> None:
    """Archive the files of another program in the folder of a job that never ran there.

    None of them is lost, or mistaken for one of the job.
    """
    folder = Place.of_job(job)
    if not folder.is_folder() or _current(job) is not None:
        return
    foreign = [name for name in folder.names_in() if name not in job.files and not _is_archive(folder / name)]
    if foreign:
        folder.move_into(folder / f"{layout.ATTEMPT}{last(job) + 1}", foreign)


def _is_archive(place: Place) -> bool:
    return place.name.startswith(layout.ATTEMPT) and place.is_folder()


def archive_completed(job: Job) -> None:
    """Archive a completed attempt, so that the job can be run from its beginning."""
    if results.finished(job) is not None:
        archive_attempt(job, whole=True)


def clean_up(job: Job) -> None:
    """Remove what a crash left: partly written files, and processes of an attempt whose end was not recorded.

    Raises OSError for a job that runs on another host; its files must not be changed.
    """
    if (other := results.runs_on_other_host(job)) is not None:
        raise OSError(errno.EBUSY, f"the job runs on {other.where}", str(job.out_dir / layout.SUPERVISOR))
    atomic.remove_partial(Place.of_job(job))
    if results.read_result(job) is None and (mark := _mark(job)):
        process_tree.kill_marked(mark, job.out_dir)


def clean_up_batch(plan: Plan) -> None:
    """Remove what a crash of the engine left, and kill the jobs of supervisors that are gone.

    Jobs that run on another host are left alone.
    """
    atomic.remove_partial(Place(plan.root))
    for job in plan.jobs:
        found = supervisor_file.read(job.out_dir)
        if found is None:
            supervisor_file.remove(Place.of_job(job))  # one that cannot be read
            continue
        if found.on_other_host:
            continue
        if results.read_result(job) is not None:
            _wait_for(found)  # it has recorded the end, and cleans up
        if found.alive:
            continue
        if found.mark:
            process_tree.kill_marked(found.mark, job.out_dir)
        forget_supervisor(job)


def forget_supervisor(job: Job) -> None:
    """Remove the record of a supervisor that was killed, and the file that it was writing. Never raises."""
    folder = Place.of_job(job)
    with contextlib.suppress(OSError):
        atomic.remove_partial(folder)
    supervisor_file.remove(folder)


def _wait_for(supervisor: SupervisorRecord) -> None:
    deadline = time.monotonic() + CLEANED_WITHIN
    while supervisor.alive and time.monotonic() < deadline:
        time.sleep(0.02)


def _mark(job: Job) -> str | None:
    environment = record_file.look(
        str(job.out_dir / layout.METADATA), lambda record: Fields(record).texts("environment", {})
    )
    mark = environment.get(process_tree.MARK) if isinstance(environment, dict) else None
    return mark if mark is not None and is_path(mark) else None  # what no environment can hold, no process has
