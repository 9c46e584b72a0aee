"""Read the state of a batch now from the disk and the processes. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.cli import clusters
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.result import Result
from runner.core.state import INTERRUPTED, LOST, PENDING, RUNNING
from runner.core.text import listed
from runner.disk import labels, layout, list_cache, requests, results, strays
from runner.disk.lock import holder, was_left
from runner.disk.record_file import Unreadable
from runner.planners import recorded
from runner.reports.status import BatchStatus, JobStatus, batch_state


def batch(root: Path) -> BatchStatus:
    """The batch in `root`; `running` means an existing process. Raises UserError."""
    return of_plan(root, recorded.plan(root, contents=False))


class Seen:
    """Jobs that have ended, as they were read: they are read again when their records are other files."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[object, str], JobStatus]] = {}

    def job(self, planned: Job) -> JobStatus:
        stamp = list_cache.stamp_of_job(planned.out_dir)
        known = self._known.get(planned.out_dir)
        if known is not None and known[0] == (stamp, planned.fingerprint):
            return known[1]
        found = job(planned)
        if found.ended:
            self._known[planned.out_dir] = ((stamp, planned.fingerprint), found)
        return found


def of_plan(root: Path, plan: Plan, look: Callable[[Job], JobStatus] | None = None) -> BatchStatus:
    """The batch in `root`, which has this plan. `look`: how its jobs are read."""
    held = holder(layout.BatchPaths(root).lock)
    jobs = _with_notes({one.name: (look or job)(one) for one in plan.jobs}, requests.noted(root))
    if held is not None:
        jobs = _with_reasons(jobs, requests.reasons(root))
    state, held = state_of(root, held, [one.status for one in jobs.values()])
    own = labels.read(root)
    return BatchStatus(
        plan.root.name, str(plan.root), plan.created_at, state, held, jobs, note=own.note, tags=own.tags
    )  # fmt: skip


def with_scheduler(root: Path, found: BatchStatus) -> BatchStatus:
    """The batch, with what the scheduler of its cluster says of jobs that wait or run, where it has one."""
    said = clusters.notes(recorded.plan(root, contents=False))
    still = {name: note for name, note in said.items() if name in found.jobs and not found.jobs[name].ended}
    if not still:
        return found
    jobs = {name: replace(one, note=still.get(name, one.note)) for name, one in found.jobs.items()}
    return replace(found, jobs=jobs)


def state_of(root: Path, held: dict[str, Any] | None, statuses: Sequence[str]) -> tuple[str, dict[str, Any] | None]:
    """The state of a batch whose lock is `held` so and whose jobs have these statuses, and the runner that has it."""
    if held is not None and "stranger" in held:
        held = None
    left = held is None and was_left(layout.BatchPaths(root).lock)
    return batch_state(statuses, locked=held is not None, left=left), held


def _with_notes(jobs: dict[str, JobStatus], noted: Mapping[str, str]) -> dict[str, JobStatus]:
    """The jobs, with what was done by request where it is still so."""
    still = [name for name in noted if name in jobs and jobs[name].status in (PENDING, INTERRUPTED)]
    return {**jobs, **{name: replace(jobs[name], note=noted[name]) for name in still}}


def _with_reasons(jobs: dict[str, JobStatus], reasons: Mapping[str, str]) -> dict[str, JobStatus]:
    """The jobs, with why those that wait for more than their turn do so."""
    still = [name for name in reasons if name in jobs and jobs[name].status == PENDING]
    return {**jobs, **{name: replace(jobs[name], note=f"waiting: {reasons[name]}") for name in still}}


def batch_or_error(root: Path) -> BatchStatus:
    """The same; for a batch that cannot be read its error, so that the others are still shown."""
    try:
        return batch(root)
    except UserError as error:
        own = labels.read(root)
        return BatchStatus(
            root.name, str(root), None, "unreadable", None, {}, str(error), note=own.note, tags=own.tags
        )  # fmt: skip


def job(planned: Job) -> JobStatus:
    """One job of a batch."""
    result = results.look(planned.out_dir)
    if isinstance(result, Result) and result.fingerprint == planned.fingerprint:
        return JobStatus(
            status=result.status,
            ended=True,
            attempt=result.attempt,
            seconds=result.seconds,
            error=result.error,
            metrics=result.final_metrics,
            best=result.best_metrics,
            warnings=result.warnings,
            started_at=result.start_time,
            ended_at=result.end_time,
            gpus=result.gpus,
            cause=result.cause,
            cause_sure=result.cause_sure,
        )
    found = results.unfinished(planned.out_dir, result if isinstance(result, Unreadable) else None)
    return JobStatus(
        found.status,
        attempt=found.attempt,
        error=found.error,
        pid=found.pid,
        host=found.host,
        started_at=found.started_at,
        gpus=results.assigned_gpus(planned.out_dir) if found.status == RUNNING else (),
        note=_left_behind(planned) if found.status == LOST else None,
    )


def _left_behind(planned: Job) -> str | None:
    """A phrase on the processes of a lost job that live."""
    pids = strays.of(planned)
    if not pids:
        return None
    words = "1 process of it lives" if len(pids) == 1 else f"{len(pids)} processes of it live"
    return f"{words}: pid {listed([str(pid) for pid in pids], 5)}; stop ends what is left"
