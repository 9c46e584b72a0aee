"""Remove a batch, or checkpoints of a job. Follows no link: what it points to stays. Asks nobody."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.core import clock
from runner.core.job import Job
from runner.core.result import Result
from runner.disk import checkpoints, layout, results, supervisor_file, usage
from runner.disk.place import Place
from runner.disk.supervisor_file import SupervisorRecord
from runner.disk.whole import remove_whole

REMOVED = "final_checkpoint_removed"  # in the result of a job: when the file that final_checkpoint names was removed


@dataclass(frozen=True, slots=True)
class Removable:
    """The checkpoints of one job that can go, and their bytes."""

    job: Job
    paths: tuple[str, ...]
    size: int


def running_jobs(root: Path) -> Iterator[tuple[Path, SupervisorRecord]]:
    """The folders of jobs that run, here or as far as we know on another host. Needs no plan that can be read."""
    for folder, _, files in os.walk(root):
        if layout.SUPERVISOR not in files:
            continue
        found = supervisor_file.read(folder)
        ended = isinstance(results.look(folder), Result)
        if found is not None and (found.alive or (found.on_other_host and not ended)):
            yield Path(folder), found


def remove_batch(root: Path) -> None:
    """Remove the folder of a batch. plan.json goes last, so that it can be repeated if it is cut short."""
    last = (layout.PLAN, layout.LOCK)
    folder = Place(root)
    for name in sorted(folder.names_in()):
        if name not in last:
            remove_whole(folder / name)
    for name in last:
        (folder / name).remove()
    root.rmdir()


def repair_latest(base: Path, newest: Path | None) -> None:
    """Let `latest` point to the newest batch if it points to nothing; without a batch it goes."""
    latest = base / layout.LATEST
    if not latest.is_symlink() or latest.exists():
        return
    if newest is None:
        latest.unlink()
    else:
        results.point_latest_to(newest)


def removable(root: Path, job: Job, patterns: Sequence[str], *, keep_latest: bool) -> Removable:
    """The checkpoints of a job, without the one from which it resumes if that is to be kept."""
    if not usage.is_inside(job.out_dir, root):
        return Removable(job, (), 0)
    paths = usage.checkpoints_in(job.out_dir, patterns)
    if keep_latest and (latest := checkpoints.latest_checkpoint(str(job.out_dir), patterns)) is not None:
        kept = checkpoints.saved_with(latest, [path for path in paths if not _is_archived(path, job.out_dir)])
        paths = [path for path in paths if path not in kept]
    return Removable(job, tuple(paths), usage.of_paths(paths))


def _is_archived(path: str, folder: Path) -> bool:
    """Whether it is of an earlier attempt, which is not resumed."""
    return os.path.relpath(path, folder.absolute()).startswith(layout.ATTEMPT)


def remove_checkpoints(found: Removable) -> None:
    """Remove the checkpoints; the result of the job says that its final one is gone. Raises OSError."""
    folder = Place.of_job(found.job)
    for path in found.paths:
        remove_whole(folder / os.path.relpath(path, folder))
    result = results.read_result(found.job)
    final = result.to_json().get("final_checkpoint") if result is not None else None
    if result is None or not final or Path(final).exists():
        return
    cause = results.write_result(found.job, result.updated(**{REMOVED: clock.now()}))
    if cause is not None:
        raise OSError(errno.EIO, cause, str(found.job.out_dir))
