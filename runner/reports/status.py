"""The state of a batch now, as values and as lines of text. Pure: cli/inspect.py reads disk and processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.core.state import COMPLETED, PENDING, RUNNING
from runner.core.text import duration, plain
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

    def to_json(self) -> dict[str, Any]:
        """The entry of `status --json`."""
        note = {"note": self.note} if self.note else {}
        if self.ended:
            return {
                "status": self.status,
                "duration_seconds": self.seconds,
                "error": self.error,
                "attempt": self.attempt,
                "final_metrics": dict(self.metrics),
                "best_metrics": dict(self.best),
                "warnings": list(self.warnings),
                **note,
            }
        if self.status == PENDING:
            return {"status": self.status, **note}
        host = {"host": self.host} if self.host else {}
        return {"status": self.status, "pid": self.pid, "attempt": self.attempt, **host}

    def line(self, name: str) -> str:
        """`  easy_first    completed in 4 min 05 s (attempt 2)`"""
        words = [f"{self.status} on {self.host}" if self.host else self.status]
        if self.seconds is not None:
            words.append(f"in {duration(self.seconds)}")
        if (self.attempt or 1) > 1:
            words.append(f"(attempt {self.attempt})")
        words.append(why(self.status, self.error))
        words.append(f"({self.note})" if self.note else "")
        return f"  {plain(name):<38} {' '.join(filter(None, words))}{warned(self.warnings)}"


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

    def to_json(self) -> dict[str, Any]:
        """The entry of `list --json`, and what `status --json` prints."""
        jobs = {name: job.to_json() for name, job in self.jobs.items()}
        about = {"name": self.name, "experiment_dir": self.folder, "created_at": self.created_at}
        error = {} if self.error is None else {"error": self.error}
        return {**about, "state": self.state, "runner": self.runner, "jobs": jobs, **error}

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
        for name, job in self.jobs.items():
            yield job.line(name)


def batch_state(states: Sequence[str], *, locked: bool, left: bool) -> str:
    """One word for a batch. `locked`: a runner has it; `left`: the last runner was killed and could not unlock it."""
    if locked:
        return RUNNING
    if RUNNING in states:
        return WITHOUT_RUNNER
    if all(state == COMPLETED for state in states):
        return "done"
    if left:
        return "dead"
    return "stopped" if PENDING in states else "ended"
