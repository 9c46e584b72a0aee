"""Follow the output of one job after another, over retries, to the end of a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runner.cli.follow import FOLLOW, Output
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.text import shown
from runner.disk import layout, results, supervisor_file
from runner.disk.growing_log import GrowingLog
from runner.disk.lock import runner
from runner.disk.reading import read_json
from runner.planners import recorded

STREAMS = {"combined": layout.COMBINED, "stdout": layout.STDOUT, "stderr": layout.STDERR}
SHARE = 5  # between two looks at all jobs of a batch, so many times what a look takes


class Started(NamedTuple):
    """A job's latest attempt; `ended_at` is None while it runs. Times are those of records, which sort as texts."""

    started_at: str
    job: Job
    attempt: int
    ended_at: str | None

    @property
    def key(self) -> tuple[str, int]:
        return self.job.name, self.attempt


class FollowedBatch:
    """A batch whose output is printed: that of the `named` job, or of the job that started last and those after it."""

    def __init__(self, plan: Plan, named: str | None, log_name: str, lines: int) -> None:
        """Raises UserError if there is no output, and will not be any."""
        self._plan = plan
        self._read_at = _modified(plan)
        self._named = named
        self._log_name = log_name
        self._lines = lines
        self._printed: set[tuple[str, int]] = set()
        self._output = Output()
        started = self._started()
        running = [one for one in started if one.ended_at is None]
        self._now = next(reversed(running or started), None)
        if self._now is None and self._runner() is None:
            raise UserError(f"{shown(plan.root)}: {f'{named} has' if named else 'no job has'} not started yet")

    def print_end(self) -> None:
        """Print the last lines of the job as it is now."""
        if self._now is not None and (path := self._now.job.out_dir / self._log_name).exists():
            with GrowingLog(path, self._lines) as log:
                self._output.copy(log)
            self._output.end()

    def follow(self) -> Iterator[float]:
        """Print until nothing follows; yields the seconds until there may be more."""
        if self._now is not None:
            yield from self._print_attempt(self._now)
        while True:
            runner, began = self._runner(), time.monotonic()  # in this order: it may end after its last job
            found = self._next()
            if found is not None:
                self._begin(found)
                yield from self._print_attempt(found)
            elif runner is None or (self._now and self._named and not self._is_tried_again(self._now.job, runner)):
                self._output.end()
                return
            else:
                yield max(FOLLOW, SHARE * (time.monotonic() - began))

    def _print_attempt(self, started: Started) -> Iterator[float]:
        """Print one attempt to its end."""
        self._printed.add(started.key)
        path = started.job.out_dir / self._log_name
        while not path.exists():
            if _has_ended(started):
                return
            yield FOLLOW
        with GrowingLog(path, self._lines) as log:
            ended = False
            while not ended:
                ended = _has_ended(started)  # before the last look at the log
                self._output.copy(log)
                if not ended:
                    yield FOLLOW

    def _begin(self, found: Started) -> None:
        """Go to another attempt, of this job or of another one."""
        if self._now is not None:
            attempt = f", attempt {found.attempt}" if found.attempt > 1 else ""
            self._output.header(f"{found.job.name}{attempt}")
        self._now = found

    def _next(self) -> Started | None:
        """The earliest attempt that was not printed yet, and has not ended before the present one had."""
        since = _ended_at(self._now) if self._now else ""
        found = [one for one in self._started() if one.key not in self._printed]
        return next((one for one in found if one.ended_at is None or one.ended_at >= since), None)

    def _started(self) -> list[Started]:
        """The jobs that have started, the earliest first."""
        if _modified(self._plan) != self._read_at:  # jobs were added
            self._read_at, self._plan = _modified(self._plan), recorded.plan(self._plan.root, contents=False)
        jobs = [job for job in self._plan.jobs if self._named in (None, job.name)]
        return sorted((one for job in jobs if (one := _started(job)) is not None), key=lambda one: one.started_at)

    def _runner(self) -> str | None:
        """Since when a runner has run the batch; None if none does."""
        held = runner(layout.BatchPaths(self._plan.root).lock)
        return None if held is None else str(held.get("since", ""))

    def _is_tried_again(self, job: Job, since: str) -> bool:
        """True if the runner that began `since` may start the job, which has ended, once more."""
        result, options = results.read_result(job), self._plan.options
        if result is None:
            return True  # it has not ended after all
        earlier = [read_json(str(path)) for path in job.out_dir.glob(f"{layout.ATTEMPT}*/{layout.RESULT}")]
        # Each once: the result may have been moved to the earlier ones since it was read.
        times = {result.start_time, *(record.get("start_time") for record in earlier)}
        tries = sum(str(began or "") >= since for began in times)
        return result.status in options.retry_statuses and tries <= options.retries


def follow(followed: FollowedBatch) -> int:
    """Print until nothing follows, or Ctrl+C, which ends this command and not the batch; returns the exit code."""
    try:
        for seconds in followed.follow():
            time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    return 0


def _started(job: Job) -> Started | None:
    """The latest attempt of a job; None if it has not started."""
    result = results.read_result(job)
    if result is not None:
        ended_at = result.end_time or ""
        return Started(result.start_time or ended_at, job, result.attempt, ended_at)
    found = supervisor_file.read(job.out_dir)
    if found is None:
        return None
    started_at = found.started_at or ""
    return Started(started_at, job, found.attempt, None if found.alive or found.on_other_host else started_at)


def _has_ended(started: Started) -> bool:
    now = _started(started.job)
    return now is None or now.attempt != started.attempt or now.ended_at is not None


def _ended_at(started: Started) -> str:
    """When an attempt ended, whose files a later one may have moved meanwhile."""
    now = _started(started.job)
    if now is not None and now.attempt == started.attempt:
        return now.ended_at or started.started_at
    archived = started.job.out_dir / f"{layout.ATTEMPT}{started.attempt}" / layout.RESULT
    return str(read_json(str(archived)).get("end_time") or started.started_at)


def _modified(plan: Plan) -> int:
    return Path(layout.BatchPaths(plan.root).plan).stat().st_mtime_ns
