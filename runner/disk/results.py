"""Records on disk: place a job's inputs, write its metadata, read its result back. Decides nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from runner.core import clock, redact
from runner.core.canonical import tagged
from runner.core.fields import Fields
from runner.core.gpu_labels import labels
from runner.core.job import Attempt, Job
from runner.core.result import ADJUSTED, Result, adjusted_of
from runner.core.state import (
    COMPLETED,
    ERROR,
    LOST,
    PENDING,
    RUNNING,
    UNREADABLE,
    Finished,
    Outcome,
    Record,
    Running,
)
from runner.core.text import shown
from runner.disk import atomic, layout, nonce, record_file, supervisor_file
from runner.disk.place import Place
from runner.disk.record_file import Unreadable
from runner.disk.supervisor_file import SupervisorRecord

SCHEMA = 1


class Taken(Exception):
    """Another batch has this folder."""


def open_batch(root: Path) -> None:
    """Make the batch folder, and let `latest` beside it point to it. Raises Taken if it exists already, or OSError."""
    root.parent.mkdir(parents=True, exist_ok=True)
    try:
        root.mkdir()
    except FileExistsError as error:
        raise Taken from error
    point_latest_to(root)


def point_latest_to(root: Path) -> None:
    """Let `latest` beside a batch point to it."""
    link(root.parent / layout.LATEST, root.name)


def link(path: Path, target: str) -> None:
    """Let `path` be a link to a name in its folder; a file system without links has none."""
    pointer = path.parent / f".{path.name}.{os.getpid()}"
    try:
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(target, target_is_directory=True)
        pointer.replace(path)
    except OSError:  # or a folder of that name: the batch does not depend on it
        pointer.unlink(missing_ok=True)


def open_root(root: Path) -> None:
    """Make an output root that may exist already, and remove partly written files of a crash. Raises OSError."""
    root.mkdir(parents=True, exist_ok=True)
    for path in root.glob("_*"):  # what holds views
        if (folder := Place(root, path.name)).is_folder():
            atomic.remove_partial(folder)


def write_view(root: Path, name: str, content: Mapping[str, Any] | bytes) -> None:
    """Replace a file that sums up a batch; `name` is relative to its folder. Raises OSError."""
    place = Place(root) / name
    place.parent.make()
    if isinstance(content, bytes):
        atomic.write_bytes(place, content)
    else:
        atomic.write_json(place, content)


def write_end(root: Path, exit_code: int) -> None:
    """Record the exit code of a run of the batch, for those who wait for it. A disk that fails loses it."""
    record = {"schema": SCHEMA, "exit_code": exit_code, "ended_at": clock.now()}
    with contextlib.suppress(OSError):
        atomic.write_json(layout.BatchPaths(root).end, record)


def remove_end(root: Path) -> None:
    """Another run of the batch begins."""
    with contextlib.suppress(OSError):
        Place(root, layout.END).remove()


def read_end(root: Path) -> int | None:
    """The exit code of the last run of the batch; None if it was killed, or was one of version 0.1.0."""
    found = record_file.look(layout.BatchPaths(root).end, lambda record: Fields(record).whole("exit_code", least=0))
    return found if isinstance(found, int) and found < 256 else None


def metadata(attempt: Attempt, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """experiment_metadata.json: the job as it was planned, and its provenance."""
    job = attempt.job
    return {
        "schema": SCHEMA,
        "config_name": job.name,
        "config_path": str(job.source) if job.source else None,
        "experiment_dir": str(job.out_dir),
        "command": redact.argv(attempt.argv, job.not_secret),
        "attempt": attempt.number,
        "working_dir": str(job.cwd),
        "overrides": redact.mapping(job.overrides, job.not_secret),
        "config": tagged(redact.mapping(job.config, job.not_secret)),
        "volatile": list(job.volatile),
        "fingerprint": job.fingerprint,
        nonce.DIGEST: nonce.digest(attempt.nonce),
        "environment": redact.mapping(attempt.env, job.not_secret),
        "start_time": clock.now(),
        **_adjusted(job),
        **provenance,
    }


def _adjusted(job: Job) -> dict[str, Any]:
    return {ADJUSTED: {key: list(pair) for key, pair in job.adjusted.items()}} if job.adjusted else {}


def adjusted(job: Job) -> dict[str, tuple[int, int]]:
    """What the latest attempt of a job had other than planned, as its result or its metadata say."""
    paths = layout.JobPaths(job.out_dir)
    for path in (paths.result, paths.metadata):
        found = record_file.look(path, lambda record: adjusted_of(record.get(ADJUSTED)))
        if isinstance(found, dict) and found:
            return found
    return {}


def entries(attempt: Attempt) -> Result:
    """The entries of experiment_result.json that are known before the job starts."""
    job = attempt.job
    return Result(
        {
            "schema": SCHEMA,
            "config_name": job.name,
            "config_path": str(job.source) if job.source else None,
            "experiment_dir": str(job.out_dir),
            "log_files": {name.removesuffix(".log"): str(job.out_dir / name) for name in layout.LOGS},
            "command": redact.argv(attempt.argv, job.not_secret),
            "attempt": attempt.number,
            "fingerprint": job.fingerprint,
            **_adjusted(job),
        }
    )


def lost(attempt: Attempt, error: str, started_at: str | None = None) -> Result:
    """The result of a job that no supervisor could record: it could not be started, or its supervisor died."""
    return entries(attempt).updated(
        status=ERROR,
        return_code=None,
        signal=None,
        start_time=started_at,
        end_time=clock.now(),
        duration_seconds=0.0,
        error=redact.text(error, attempt.job.not_secret, redact.known_values(attempt.argv, attempt.env)),
        final_checkpoint=None,
        final_metrics={},
        best_metrics={},
        warnings=[],
        run_dir=None,
    )


def write_result(job: Job, result: Result) -> str | None:
    """Write a result on behalf of a supervisor; returns why it could not be written."""
    if (other := runs_on_other_host(job)) is not None:
        return f"{job.out_dir}: the job runs on {other.where}, which writes its result"
    try:
        atomic.write_json(Place.of_job(job) / layout.RESULT, result.to_json())
    except OSError as error:
        return f"{job.out_dir / layout.RESULT}: {error.strerror or error}"
    return None


def read_result(job: Job) -> Result | None:
    """The result in the job's folder; None if there is none that can be read."""
    found = look(job.out_dir)
    return found if isinstance(found, Result) else None


def look(folder: str | os.PathLike[str]) -> Result | Unreadable | None:
    """The result in a job's folder, or why it cannot be read; None if there is none, or if the job wrote it itself."""
    found = record_file.look(layout.JobPaths(folder).result, Result.from_json)
    return None if isinstance(found, Result) and not nonce.confirms(folder, found.status, found.nonce) else found


@lru_cache(256)
def _outcome(*about: Any) -> Outcome:
    """The same object for ends that are alike: of thousands most are."""
    return Outcome(*about)


def record(job: Job, result: Result) -> Record:
    """The record of a job that ended with this result."""
    about = (result.status, result.return_code, result.signal, result.error, result.command_signal)
    outcome = _outcome(*about, result.cause, result.cause_sure)
    state = Finished(result.start_time, result.end_time or "", result.seconds, outcome, result.kept())
    return Record(job, state, result.attempt)


def finished(job: Job) -> Record | None:
    """The record of a job that is done: it completed, and the result in its folder is of the same work."""
    result = read_result(job)
    if result is None or result.status != COMPLETED or not job.is_work_of(result.fingerprint):
        return None
    return replace(record(job, result), cached=True)


def read_record(job: Job) -> Record:
    """What is recorded of a job: how it ended, that it runs on another host, or that it is still to be run.

    A job that runs on this host is still to be run: the engine adopts it instead of starting it.
    """
    result = read_result(job)
    if result is None and (other := runs_on_other_host(job)) is not None:
        return Record(job, Running(other.started_at or "", other.job_pid or 0, other.argv, other.where), other.attempt)
    if result is None or not job.is_work_of(result.fingerprint):  # the second: it was another job then
        return Record(job)
    return replace(record(job, result), cached=True)


def runs_on_other_host(job: Job) -> SupervisorRecord | None:
    """The supervisor of a job on another host, as far as we can know: no end is recorded; None if there is none."""
    found = supervisor_file.read(job.out_dir)
    return found if found is not None and found.on_other_host and read_result(job) is None else None


def running_elsewhere(record: Record) -> str | None:
    """A sentence on a job that runs on another host, with what to do if it does not; None for all other jobs."""
    if not isinstance(record.state, Running) or record.state.host is None:
        return None
    path = shown(record.job.out_dir / layout.SUPERVISOR)
    where = f"{record.job.name}: running on {record.state.host}, not started here"
    return f"{where}; if it does not run there any more, delete {path}"


class Unfinished(NamedTuple):
    """The state of a job without a result: running (of an existing process only), lost, pending or unreadable.

    `host` is given for another host, whose processes cannot be seen from here: they count as existing. `error` is why a
    record cannot be read.
    """

    status: str
    pid: int | None = None
    attempt: int | None = None
    started_at: str | None = None
    host: str | None = None
    error: str | None = None


GPUS = "assigned_gpus"  # of the metadata: the entry `gpus` of the result, before there is one


def gpus_of(entries: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata of an attempt say of the GPUs that it was given; empty if it was given none."""
    return {GPUS: entries["gpus"]} if "gpus" in entries else {}


def assigned_gpus(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """The GPUs of the attempt that runs in this folder, as tables name them."""
    metadata = layout.JobPaths(folder).metadata
    found = record_file.look(metadata, lambda record: labels(record.get(GPUS)))
    return found if isinstance(found, tuple) else ()


def unfinished(folder: str | os.PathLike[str], result: Unreadable | None = None) -> Unfinished:
    """The state of a job without a result, or with one that cannot be read."""
    found = supervisor_file.look(folder)
    broken = next((it for it in (result, found) if isinstance(it, Unreadable)), None)
    if not isinstance(found, SupervisorRecord):
        return Unfinished(PENDING) if broken is None else Unfinished(UNREADABLE, error=broken.why)
    about = Unfinished(RUNNING, found.job_pid, found.attempt, found.started_at)
    if found.on_other_host:
        return about._replace(host=found.where)
    if found.alive:
        return about
    return about._replace(status=LOST) if broken is None else Unfinished(UNREADABLE, error=broken.why)
