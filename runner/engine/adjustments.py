"""Settings of an attempt that differ from the plan: smaller micro-batches, after the memory of a GPU ran out.

What one job needs is kept for all pending jobs of its kind. Reads no file: `change` makes the job with other sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runner.core.causes import GPU_OOM
from runner.core.errors import UserError
from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.result import GPU_JOBS_AT_ONCE
from runner.core.state import FAILED, Finished, Record
from runner.gpus.kinds import kind_of
from runner.planners.smaller_batches import Sizes, sizes, smaller, words


class Adjustments:
    """The sizes with which the jobs of one batch are started. `earlier` are jobs with what they were started with."""

    def __init__(
        self, options: RunOptions, change: Callable[[Job, Sizes], Job], earlier: Iterable[tuple[Job, Sizes]] = ()
    ) -> None:
        self._options = options
        self._keys = options.oom_keys
        self._change = change
        self._sizes: dict[str, Sizes] = {}  # kind of job -> the smallest sizes of its jobs
        self._tries: dict[str, int] = {}  # name of a job -> how often it was started smaller
        self._refused: set[str] = set()
        for job, now in earlier if options.oom_retry else ():
            self._learn(job, now)

    def start(self, job: Job) -> tuple[Job, str]:
        """The job as it is started now, and a sentence about it; "" if it is as planned."""
        planned = sizes(job.config, self._keys) if self._sizes else None
        now = self._sizes.get(kind_of(job)) if planned is not None else None
        if planned is None or now is None or job.name in self._refused:
            return job, ""
        try:
            changed = self._change(job, now)
        except UserError as error:
            self._refused.add(job.name)
            return job, f"is started as planned: {error.problems[0]}"
        return changed, f"{words(self._keys, planned, now)} after {GPU_OOM}"

    def after(self, record: Record) -> str | None:
        """What is different at the next start of a job that ended so; None: nothing, it is an end like others."""
        job = record.job
        planned = sizes(job.config, self._keys)
        if not isinstance(record.state, Finished) or planned is None or job.name in self._refused:
            return None
        outcome, tries = record.state.outcome, self._tries.get(job.name, 0)
        ran_out = record.status == FAILED and outcome.cause == GPU_OOM and outcome.cause_sure
        alone = is_alone(self._options) or record.state.result.to_json().get(GPU_JOBS_AT_ONCE) == 1
        if not ran_out or tries >= self._options.oom_retry or not alone:
            return None
        _, used = record.state.result.adjusted.get(self._keys[0], planned[:1] * 2)
        steps = planned[0] * planned[1] // used
        then = smaller((used, steps))
        if then is None:
            return None
        self._tries[job.name] = tries + 1
        now = self._learn(job, then)
        return f"{words(self._keys, (used, steps), now)} after {GPU_OOM}, try {tries + 1} of {self._options.oom_retry}"

    def _learn(self, job: Job, now: Sizes) -> Sizes:
        kind = kind_of(job)
        self._sizes[kind] = min(now, self._sizes.get(kind, now))
        return self._sizes[kind]


def is_alone(options: RunOptions) -> bool:
    """Whether no other job of the batch uses the GPU of a job."""
    return options.max_workers == 1 or (bool(options.gpus) and options.jobs_per_gpu == 1)
