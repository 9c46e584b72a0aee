"""The state of a batch now, as values and as lines of text. Pure: cli/inspect.py reads disk and processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runner.core.fields import is_number
from runner.core.state import COMPLETED, INTERRUPTED, PENDING, RUNNING, SUCCESSES, UNREADABLE
from runner.core.text import duration, plain
from runner.output import names
from runner.reports.best import compared_by
from runner.reports.terminal import warned, why

WITHOUT_RUNNER = "running without a runner"


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job. `ended`: it has a result, with the other entries; else only a running or lost one has a process."""

    status: str
    ended: bool = False
    attempt: int | None = None
    seconds: float | None = None
    error: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    best: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    pid: int | None = None
    host: str | None = None  # of a process on another host
    note: str | None = None  # what was done with it by request: `skipped by request`
    started_at: str | None = None
    ended_at: str | None = None
    gpus: Sequence[str] = ()  # that it has or had, where the batch divides them
    cause: str | None = None  # why it failed, as core/causes.py has it
    cause_sure: bool = False

    def to_json(self) -> dict[str, Any]:
        """The entry of `status --json`."""
        more: dict[str, Any] = {"note": self.note} if self.note else {}
        if self.gpus:
            more["gpus"] = list(self.gpus)
        if self.cause:
            more |= {"cause": self.cause, "cause_sure": self.cause_sure}
        if self.ended:
            return {
                "status": self.status,
                "duration_seconds": self.seconds,
                "error": self.error,
                "attempt": self.attempt,
                "final_metrics": dict(self.metrics),
                "best_metrics": dict(self.best),
                "warnings": list(self.warnings),
                **more,
            }
        if self.status == PENDING:
            return {"status": self.status, **more}
        if self.status == UNREADABLE:
            return {"status": self.status, "error": self.error, **more}
        host = {"host": self.host} if self.host else {}
        return {"status": self.status, "pid": self.pid, "attempt": self.attempt, **host, **more}

    def line(self, name: str, gpu_width: int = 0) -> str:
        """`  easy_first    completed in 4 min 05 s (attempt 2)`; with a column for its GPUs if that has a width."""
        words = [f"{self.status} on {self.host}" if self.host else self.status]
        if self.status == UNREADABLE:
            words = [f"{UNREADABLE}:"]
        if self.seconds is not None:
            words.append(f"in {duration(self.seconds)}")
        if (self.attempt or 1) > 1:
            words.append(f"(attempt {self.attempt})")
        cause = why(self.status, self.error)
        if cause and not cause.startswith("(") and not words[-1].endswith(":"):
            words[-1] += ":"
        words.append(cause)
        words.append(f"({self.note})" if self.note else "")
        gpus = f"{self.gpu_words:<{gpu_width}} " if gpu_width else ""
        return f"  {plain(name):<38} {gpus}{' '.join(filter(None, words))}{warned(self.warnings)}"

    @property
    def gpu_words(self) -> str:
        """`GPU 0,2`"""
        return f"GPU {','.join(self.gpus)}" if self.gpus else ""


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """A batch and its jobs. `runner` is the holder of its lock; `error` is why it cannot be read."""

    name: str
    folder: str
    created_at: str | None
    state: str
    runner: Mapping[str, Any] | None
    jobs: Mapping[str, JobStatus]
    error: str | None = None
    note: str | None = None  # of its user, as are the tags
    tags: Sequence[str] = ()

    def to_json(self, now: float) -> dict[str, Any]:
        """The entry of `list --json`, and what `status --json` prints."""
        best = self.best()
        more = {
            "note": self.note,
            "tags": list(self.tags),
            "duration_seconds": self.seconds(now),
            "best": None if best is None else best.to_json(),
        }
        jobs = {name: job.to_json() for name, job in self.jobs.items()}
        about = {"name": self.name, "experiment_dir": self.folder, "created_at": self.created_at}
        error = {} if self.error is None else {"error": self.error}
        return {**about, "state": self.state, "runner": self.runner, **more, "jobs": jobs, **error}

    def seconds(self, now: float) -> float:
        """How long at least one of its jobs ran, as the latest attempts say; pauses between them do not count."""
        spans = []
        for job in self.jobs.values():
            begin, end = _seconds(job.started_at), now if job.status == RUNNING else _seconds(job.ended_at)
            if begin is not None and end is not None:
                spans.append((begin, end))
        total, until = 0.0, 0.0
        for begin, end in sorted(spans):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return round(total, 3)

    def best(self) -> BestValue | None:
        """The best value of the metric by which jobs are compared, of those that completed or still run."""
        counted = {name: job for name, job in self.jobs.items() if job.status in (COMPLETED, RUNNING)}
        return next(iter(ranked(counted)), None)

    def counts(self) -> str:
        """`2 completed (1 with warnings), 1 failed`"""
        states = [job.status for job in self.jobs.values()]
        number = sum(job.status == COMPLETED and bool(job.warnings) for job in self.jobs.values())
        more = {COMPLETED: f" ({number} with warnings)"} if number else {}
        return ", ".join(f"{states.count(word)} {word}{more.get(word, '')}" for word in dict.fromkeys(states))

    def lines(self) -> Iterator[str]:
        """What `status` prints."""
        who = f", by pid {self.runner.get('pid')} on {self.runner.get('host')}" if self.runner else ""
        yield f"{plain(self.name)}: {self.state}{who}; {self.counts()}"
        if self.note:
            yield f"  note: {plain(self.note)}"
        if self.tags:
            yield f"  tags: {plain(', '.join(self.tags))}"
        gpu_width = max((len(job.gpu_words) for job in self.jobs.values()), default=0)
        for name, job in self.jobs.items():
            yield job.line(name, gpu_width)


@dataclass(frozen=True, slots=True)
class BestValue:
    """The best value of a metric that one job had, and whether smaller (`min`) or larger (`max`) ones are better."""

    metric: str
    value: float
    job: str
    better: str

    def to_json(self) -> dict[str, Any]:
        return {"metric": self.metric, "value": self.value, "job": self.job, "better": self.better}


def ranked(jobs: Mapping[str, JobStatus], metric: str | None = None) -> list[BestValue]:
    """The best values of the jobs that measured `metric`, the best job first. Without a name: the usual metric."""
    metric = metric or compared_by({**job.metrics, **job.best} for job in jobs.values())
    if metric is None:
        return []
    found = [one for name, job in jobs.items() if (one := _best_of(name, job, metric)) is not None]
    return sorted(found, key=lambda one: one.value if one.better == "min" else -one.value)


def metrics_of(jobs: Mapping[str, JobStatus]) -> list[str]:
    """The metrics by which jobs can be compared."""
    known = dict.fromkeys(name for job in jobs.values() for name in (*job.best, *job.metrics))
    return [name for name in known if any(_best_of("", job, name) for job in jobs.values())]


def _best_of(name: str, job: JobStatus, metric: str) -> BestValue | None:
    """The best value of a job; of version 0.1.0, which recorded only last ones, the last."""
    entry = job.best.get(metric)
    found = entry if isinstance(entry, dict) else {"value": job.metrics.get(metric)}
    value, better = found.get("value"), found.get("better") or names.better(metric)
    if better is None or value is None or not is_number(value) or not math.isfinite(value):
        return None
    return BestValue(metric, float(value), name, str(better))


def _seconds(time: str | None) -> float | None:
    """A recorded time as seconds since the epoch."""
    try:
        return datetime.fromisoformat(time).timestamp() if time else None
    except (ValueError, OverflowError):  # the second: the year 1, in a zone east of here
        return None


def batch_state(states: Sequence[str], *, locked: bool, left: bool) -> str:
    """One word for a batch. `locked`: a runner has it; `left`: the last runner was killed and could not unlock it."""
    if locked:
        return RUNNING
    if RUNNING in states:
        return WITHOUT_RUNNER
    if all(state in SUCCESSES for state in states):
        return "done"
    if left:
        return "dead"
    return "stopped" if {PENDING, INTERRUPTED} & set(states) else "ended"
