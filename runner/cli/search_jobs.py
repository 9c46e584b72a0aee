"""The trials of a search as a source of jobs: each is asked for when there is room for it, from what is known then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from runner.cli.search_rungs import RunningRungs
from runner.core.causes import DIVERGED
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.printing import say
from runner.core.state import INTERRUPTED, PRUNED, Finished, Record
from runner.disk import atomic, layout, results
from runner.disk.place import Place
from runner.disk.reading import read_bytes
from runner.engine.events import Event, JobEnded, JobSkipped
from runner.engine.protocols import Promoted, Wait
from runner.planners import search as planned
from runner.reports.search import best_of, closing, reached, search_of, without_metric
from runner.search import space
from runner.search.curve import Curve
from runner.search.pruning import Rungs
from runner.search.space import COMPLETE, FAIL, RUNNING, Search, Trial
from runner.search.suggest import suggest


class SearchJobs:
    """A PruningSource, and an observer that learns how jobs end, and which ones a user skipped.

    A new trial is on the disk before it is started: trial.json, its config, then plan.json. So nothing is lost by a
    crash, and what is known is read from the folders of the jobs alone. `room`: at most so many trials are made or
    promoted.
    """

    def __init__(
        self,
        plan: Plan,
        search: Search,
        kept: Mapping[str, Record],
        append: Callable[[Job], None],
        room: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._append = append
        self._search = search
        self._room = float("inf") if room is None else room
        self._planned = deque(job for job in plan.jobs if job.name not in kept)
        self._jobs = {job.name: job for job in plan.jobs}
        self._rungs = RunningRungs(plan.root, search, kept.values())
        self._given: dict[str, Record | None] = {}  # trials that may still run -> the record that they had
        self._clock = clock
        self._began = clock()

    def __call__(self, event: Event) -> None:
        match event:
            case JobSkipped(job):
                self._given.pop(job.name, None)
            case JobEnded(record, again) if record.job.name in self._given:
                if again:
                    self._given[record.job.name] = record
                    self._rungs.starts_again(record.job)
                else:
                    self._rungs.ended(record)

    def prunes(self, job: Job) -> str:
        return self._rungs.prunes(job)

    def next(self, records: Mapping[str, Record]) -> Job | Promoted | Wait | None:
        """The trials of the plan, then one that is promoted, or a new one, whenever fewer run than may."""
        if self._planned:
            job = self._planned.popleft()
            self._given[job.name] = None
            return with_record(job, self._search)
        self._given = {
            name: before
            for name, before in self._given.items()
            if not isinstance(records[name].state, Finished) or records[name] is before
        }
        if len(self._given) >= self._plan.options.max_workers:
            return Wait()
        if self._room <= 0 or without_metric(self._search, records):
            return None
        if (job_ := self._trial(records) or self._confirmation(records)) is not None:
            self._room -= 1
            return job_
        # A trial that runs may let another one be promoted, and is the last one before the best are known.
        return Wait() if self._given and (self._search.pruner != space.NONE or self._search.confirm) else None

    def _trial(self, records: Mapping[str, Record]) -> Job | Promoted | None:
        """One that is promoted, or a new one; None if there are no more now."""
        limit = self._search.time
        if limit is not None and self._clock() - self._began >= limit:
            return None
        is_complete = len(trial_jobs(self._plan)) >= self._search.most
        promoted = self._promoted(records, last=is_complete and not self._given)
        return promoted if promoted is not None or is_complete else self._asked(records)

    def _confirmation(self, records: Mapping[str, Record]) -> Job | None:
        """One of the best trials with another seed, once all trials have ended; None if each has been made."""
        if not self._search.confirm or any(space.number(name) is not None for name in self._given):
            return None
        names = {job.name for job in self._plan.jobs}
        for entry in best_of(self._plan, list(records.values()), self._search.confirm):
            for number in range(1, self._search.confirm_seeds + 1):
                trial = records[entry["name"]].job
                job = planned.confirmation(self._plan.jobs[0], self._plan.root, trial, self._search, number)
                if job.name not in names:
                    return self._written(job)
        return None

    def _promoted(self, records: Mapping[str, Record], *, last: bool) -> Promoted | None:
        left = (name for name, record in records.items() if record.status == PRUNED and name not in self._given)
        number = self._rungs.promoted({space.number(name) for name in left}, last=last)
        if number is None:
            return None
        name = space.name(number)
        self._given[name] = records[name]
        return Promoted(with_record(records[name].job, self._search))

    def _asked(self, records: Mapping[str, Record]) -> Job:
        """A new trial, written down. Raises OSError."""
        number, known = len(trial_jobs(self._plan)), trials(self._plan, self._search, records, self._rungs.rungs)
        params = suggest(self._search, number, known)
        files = {layout.TRIAL: planned.record(self._search, number, params, known)}
        job = planned.trial(self._plan.jobs[0], self._plan.root, number, params, files)
        folder = Place.of_job(job)
        folder.make()
        atomic.write_bytes(folder / layout.TRIAL, files[layout.TRIAL])
        return self._written(job)

    def _written(self, job: Job) -> Job:
        """A further job of the batch, with its config. Raises OSError."""
        place, content = planned.config_of(job)
        atomic.write_bytes(Place(self._plan.root) / place, content)
        self._append(job)
        self._plan = replace(self._plan, jobs=(*self._plan.jobs, job))
        self._given[job.name] = None
        return job


def trial_jobs(plan: Plan) -> list[Job]:
    """The trials of a search, in their sequence."""
    return [job for job in plan.jobs if space.number(job.name) is not None]


def with_record(job: Job, search: Search) -> Job:
    """A trial of the plan with its trial.json, so that another attempt has it too."""
    try:
        return replace(job, files={**job.files, layout.TRIAL: read_bytes(job.out_dir / layout.TRIAL)})
    except OSError:  # only that of the first trial is written with its other inputs, and so not before them
        return planned.recorded(job, search) if job.name == planned.FIRST else job


def source(
    plan: Plan, kept: Mapping[str, Record], append: Callable[[Job], None], room: int | None = None
) -> SearchJobs | None:
    """The trials of a search; None for another plan. `append` adds a job to plan.json, `room` limits further trials."""
    search = planned.of(plan)
    return None if search is None else SearchJobs(plan, search, kept, append, room)


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
        for line in closing(found, records):
            say(line)


def trials(plan: Plan, search: Search, records: Mapping[str, Record], rungs: Rungs) -> list[Trial]:
    """What is known of the trials of a plan, in their order."""
    found = enumerate(trial_jobs(plan))
    return [_trial(number, job, search, records.get(job.name, Record(job)), rungs) for number, job in found]


def _trial(number: int, job: Job, search: Search, record: Record, rungs: Rungs) -> Trial:
    params = planned.params_of(job, search)
    if not isinstance(record.state, Finished) or record.status == INTERRUPTED:
        return Trial(number, params, RUNNING)
    if record.status == PRUNED:
        event = rungs.stopped_at(number)
        value, at = (None, None) if event is None else (event.value, event.level)
        return Trial(number, params, space.PRUNED, value, at)
    if record.state.outcome.cause == DIVERGED and record.state.outcome.cause_sure:
        return _diverged(number, params, job, search)
    value = reached(record, search.metric, search.goal)
    return Trial(number, params, FAIL if value is None else COMPLETE, value)


def _diverged(number: int, params: Mapping[str, object], job: Job, search: Search) -> Trial:
    """A trial whose loss was not finite any more, with its last value that was."""
    curve = Curve(job.out_dir, search)
    curve.advance()
    at, value = curve.last or (None, None)
    return Trial(number, params, space.PRUNED, value, at)
