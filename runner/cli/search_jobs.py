"""The trials of a search as a source of jobs: each is asked for when there is room for it, from what is known then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say
from runner.core.result import Result
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record
from runner.core.text import count, duration
from runner.disk import atomic, layout, results
from runner.disk.place import Place
from runner.disk.reading import read_bytes
from runner.engine.events import Event, JobSkipped
from runner.engine.protocols import Wait
from runner.output.names import IGNORED
from runner.planners import search as planned
from runner.reports.search import reached, search_of
from runner.search.space import COMPLETE, FAIL, RUNNING, Search, Trial
from runner.search.suggest import suggest


class SearchJobs:
    """A JobSource, and an observer that learns which jobs a user skipped.

    A new trial is on the disk before it is started: trial.json, its config, then plan.json. So nothing is lost by a
    crash, and what is known is read from the folders of the jobs alone. `new`: at most so many further trials are made.
    """

    def __init__(
        self,
        plan: Plan,
        search: Search,
        kept: Mapping[str, Record],
        append: Callable[[Job], None],
        new: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._append = append
        self._search = search
        self._most = search.most if new is None else min(search.most, len(plan.jobs) + new)
        self._kept = kept
        self._planned = deque(plan.jobs)
        self._given: set[str] = set()  # names of the trials that may still run
        self._clock = clock
        self._began = clock()

    def __call__(self, event: Event) -> None:
        if isinstance(event, JobSkipped):
            self._given.discard(event.job.name)

    def next(self, records: Mapping[str, Record]) -> Job | Wait | None:
        """The trials of the plan, then a new one whenever fewer run than may."""
        if self._planned:
            job = self._planned.popleft()
            if job.name not in self._kept:
                self._given.add(job.name)
            return with_record(job, self._search)
        self._given = {name for name in self._given if not isinstance(records[name].state, Finished)}
        if len(self._given) >= self._plan.options.max_workers:
            return Wait()
        if self._is_over(records):
            return None
        job = self._asked(records)
        self._given.add(job.name)
        return job

    def _is_over(self, records: Mapping[str, Record]) -> bool:
        limit = self._search.time
        late = limit is not None and self._clock() - self._began >= limit
        return late or len(self._plan.jobs) >= self._most or bool(without_metric(self._search, records))

    def _asked(self, records: Mapping[str, Record]) -> Job:
        """A new trial, written down. Raises OSError."""
        number, known = len(self._plan.jobs), trials(self._plan, self._search, records)
        params = suggest(self._search, number, known)
        files = {layout.TRIAL: planned.record(self._search, number, params, known)}
        job = planned.trial(self._plan.jobs[0], self._plan.root, number, params, files)
        folder = Place.of_job(job)
        folder.make()
        atomic.write_bytes(folder / layout.TRIAL, files[layout.TRIAL])
        place, content = planned.config_of(job)
        atomic.write_bytes(Place(self._plan.root) / place, content)
        self._append(job)
        self._plan = replace(self._plan, jobs=(*self._plan.jobs, job))
        return job


def with_record(job: Job, search: Search) -> Job:
    """A trial of the plan with its trial.json, so that another attempt has it too."""
    try:
        return replace(job, files={**job.files, layout.TRIAL: read_bytes(job.out_dir / layout.TRIAL)})
    except OSError:  # only that of the first trial is written with its other inputs, and so not before them
        return planned.recorded(job, search) if job.name == planned.FIRST else job


def source(
    plan: Plan, kept: Mapping[str, Record], append: Callable[[Job], None], new: int | None = None
) -> SearchJobs | None:
    """The trials of a search; None for another plan. `append` adds a job to plan.json, `new` limits further trials."""
    search = planned.of(plan)
    return None if search is None else SearchJobs(plan, search, kept, append, new)


def finish(plan: Plan, records: Sequence[Record], *, silent: bool) -> None:
    """Link the best trial, and print what was found. Raises UserError if no trial reports the metric."""
    search = planned.of(plan)
    if search is None:
        return
    if error := without_metric(search, {record.job.name: record for record in records}):
        raise UserError(error)
    found = search_of(plan, records)
    if found["best"] is not None:
        results.link(plan.root / layout.BEST, found["best"]["name"])
    if not silent:
        say(closing(found, records))


def trials(plan: Plan, search: Search, records: Mapping[str, Record]) -> list[Trial]:
    """What is known of the trials of a plan, in their order."""
    return [_trial(number, job, search, records.get(job.name, Record(job))) for number, job in enumerate(plan.jobs)]


def _trial(number: int, job: Job, search: Search, record: Record) -> Trial:
    params = planned.params_of(job, search)
    if not isinstance(record.state, Finished) or record.status == INTERRUPTED:
        return Trial(number, params, RUNNING)
    value = reached(record, search.metric, search.goal)
    return Trial(number, params, FAIL if value is None else COMPLETE, value)


def without_metric(search: Search, records: Mapping[str, Record]) -> str:
    """The sentence on a metric that no trial which completed has; empty if one has it, or none completed."""
    done = [record for record in records.values() if record.status == COMPLETED]
    if not done or any(reached(record, search.metric, search.goal) is not None for record in done):
        return ""
    assert isinstance(done[0].state, Finished)
    result: Result = done[0].state.result
    names = dict.fromkeys((*result.final_metrics, *result.best_metrics))
    has = ", ".join(one for one in names if one not in IGNORED) or "none"
    return f"{done[0].job.name}: does not report the metric {search.metric!r}; it has {has}; correct search.metric"


def closing(found: Mapping[str, Any], records: Sequence[Record]) -> str:
    """One sentence on what a search found."""
    best = found["best"]
    if best is None:
        return f"Search: {count(found['evaluated'], 'trial')} evaluated, and none has a value of {found['metric']}."
    settings = ", ".join(f"{key} {_number(value)}" for key, value in best["params"].items())
    failed = f", {found['failed']} failed" if found["failed"] else ""
    took = duration(sum(one.state.seconds for one in records if isinstance(one.state, Finished)))
    first = f"Search: evaluated {found['evaluated']}{failed} in {took} of training"
    return f"{first}; best is {best['name']} with {found['metric']} {_number(best['value'])} ({settings})."


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
