"""Which jobs of a plan are run, and which keep their existing record. Pure.

Everything that continues earlier work is this one function: a resumed batch, one job again, a sweep after its spec has
changed, a tree of configs that is run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, RUNNING, SUCCESSES, Record


@dataclass(frozen=True, slots=True)
class What:
    """Which jobs a user selects. `only` is a word of --only; `names` are the selected jobs, None: all.

    `again`: a completed job is run as well. `elsewhere`: so is one on another host, which the executor adopts.
    """

    only: str | None = None
    names: frozenset[str] | None = None
    again: bool = False
    limit: int | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """`run` are the jobs to be run, `keep` the records of all others; `selected` jobs decide the exit code.

    `archive` are those of `run` that completed: their previous attempts are archived first. So are those of
    `from_scratch`, whose settings were changed, and of `extended`, which continue from the checkpoint of their
    completed attempt.
    """

    run: tuple[Job, ...]
    keep: Mapping[str, Record]
    selected: frozenset[str]
    archive: tuple[Job, ...] = ()
    from_scratch: tuple[Job, ...] = ()
    extended: tuple[Job, ...] = ()

    def of(self, plan: Plan) -> Selection:
        """The same selection of a plan whose jobs have the same names."""
        jobs = {job.name: job for job in plan.jobs}
        return self._mapped(lambda some: tuple(jobs[job.name] for job in some))

    def without(self, refused: Mapping[str, Record]) -> Selection:
        """The same without the jobs that have these records already, and so are not run."""
        if not refused:
            return self
        kept = self._mapped(lambda some: tuple(job for job in some if job.name not in refused))
        return replace(kept, keep={**self.keep, **refused})

    def limited(self, limit: int | None, records: Mapping[str, Record]) -> Selection:
        """At most `limit` of the jobs to be run, first those that never ended.

        So a job that fails every time does not block repeated calls.
        """
        if limit is None:
            return self
        first = sorted(self.run, key=lambda job: kind_of(records[job.name].status) == "failed")[:limit]
        names = frozenset(job.name for job in first)
        left = {job.name: records[job.name] for job in self.run if job.name not in names}
        return replace(
            self._mapped(lambda some: tuple(job for job in some if job.name in names)),
            keep={**self.keep, **left},
            selected=names,
        )

    def _mapped(self, change: Callable[[tuple[Job, ...]], tuple[Job, ...]]) -> Selection:
        run, archive = change(self.run), change(self.archive)
        scratch, extended = change(self.from_scratch), change(self.extended)
        return replace(self, run=run, archive=archive, from_scratch=scratch, extended=extended)


def select(plan: Plan, records: Mapping[str, Record], what: What = What()) -> Selection:
    """The jobs to be run. `records` are those on the disk, of every job; pending where there is no valid one."""
    run = tuple(job for job in plan.jobs if not _stays(records[job.name], what))
    names = {job.name for job in run}
    keep = {job.name: records[job.name] for job in plan.jobs if job.name not in names}
    selected = frozenset(job.name for job in plan.jobs) if what.names is None else what.names
    archive = tuple(job for job in run if records[job.name].status == COMPLETED)
    return Selection(run, keep, selected, archive).limited(what.limit, records)


def _stays(record: Record, what: What) -> bool:
    if what.names is not None and record.job.name not in what.names:
        return True
    if record.status == RUNNING:  # on another host: it must not be started a second time
        return not what.elsewhere
    if record.status in SUCCESSES:
        return not what.again
    return what.only not in (None, kind_of(record.status))


def kind_of(status: str) -> str:
    """The word of --only for a status."""
    return status if status in (PENDING, INTERRUPTED) else "failed"
