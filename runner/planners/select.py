"""Which jobs of a plan are run, and which keep the record that they have. Pure.

Everything that continues earlier work is this one function: a resumed batch, one job again, a sweep after its spec has
changed, a tree of configs once more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.core.job import Job, Plan
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, RUNNING, Record


@dataclass(frozen=True, slots=True)
class What:
    """What a user wants of a plan. `only` is a word of --only; `names` are the jobs in question, None: all.

    `again`: a job that completed is run as well.
    """

    only: str | None = None
    names: frozenset[str] | None = None
    again: bool = False
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """`run` are the jobs to be run, `keep` the records of all others; the exit code is about the jobs in `asked`.

    `archive` are those of `run` that completed: their attempts are put into folders of their own first.
    """

    run: tuple[Job, ...]
    keep: Mapping[str, Record]
    asked: frozenset[str]
    archive: tuple[Job, ...] = ()

    def of(self, plan: Plan) -> Selection:
        """The same selection of a plan whose jobs have the same names."""
        jobs = {job.name: job for job in plan.jobs}
        run, archive = (tuple(jobs[job.name] for job in some) for some in (self.run, self.archive))
        return replace(self, run=run, archive=archive)

    def limited(self, limit: int | None, records: Mapping[str, Record]) -> Selection:
        """At most `limit` of the jobs to be run, first those that never came to an end.

        So repeated calls get past a job that fails every time.
        """
        if limit is None:
            return self
        first = sorted(self.run, key=lambda job: kind_of(records[job.name].status) == "failed")[:limit]
        names = frozenset(job.name for job in first)
        left = {job.name: records[job.name] for job in self.run if job.name not in names}
        return replace(
            self,
            run=tuple(job for job in self.run if job.name in names),
            keep={**self.keep, **left},
            asked=names,
            archive=tuple(job for job in self.archive if job.name in names),
        )


def select(plan: Plan, records: Mapping[str, Record], what: What = What()) -> Selection:
    """The jobs to be run. `records` hold what is on the disk of every job; pending where nothing counts."""
    run = tuple(job for job in plan.jobs if not _stays(records[job.name], what))
    names = {job.name for job in run}
    keep = {job.name: records[job.name] for job in plan.jobs if job.name not in names}
    asked = frozenset(job.name for job in plan.jobs) if what.names is None else what.names
    archive = tuple(job for job in run if records[job.name].status == COMPLETED)
    return Selection(run, keep, asked, archive).limited(what.limit, records)


def _stays(record: Record, what: What) -> bool:
    if what.names is not None and record.job.name not in what.names:
        return True
    if record.status == RUNNING:  # on another host: it must not be started a second time
        return True
    if record.status == COMPLETED:
        return not what.again
    return what.only not in (None, kind_of(record.status))


def kind_of(status: str) -> str:
    """The word of --only for a status."""
    return status if status in (PENDING, INTERRUPTED) else "failed"
