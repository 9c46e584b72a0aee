"""Notice that jobs fail alike, one after another: the others would fail in the same way. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

from runner.core import causes
from runner.core.job import Job
from runner.core.state import FAILED, SUCCESSES, Finished, Record
from runner.core.text import shown
from runner.disk.layout import JobPaths
from runner.engine.policy import call_of

LEAST_JOBS = 4  # of a batch in which it is on
#: What depends on the machine, or on the settings that a sweep varies: other jobs may do without it.
NOT_COUNTED = frozenset({causes.DEVICE, causes.GPU_OOM, causes.GPU_OOM_FOREIGN, causes.HOST_OOM, causes.DIVERGED})


class Breaker:
    """Counts failures of one program with the same signature since its last success. `limit` 0: it is off."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._alike: dict[Hashable, dict[str, list[Job]]] = {}  # program -> signature -> the jobs that failed so

    def take(self, record: Record) -> str | None:
        """A job that ended for good. Returns why no further one should be started; None as long as they may be."""
        if not isinstance(record.state, Finished) or not self._limit:
            return None
        program = call_of(record.job)
        if record.status in SUCCESSES:
            self._alike.pop(program, None)
            return None
        outcome, signature = record.state.outcome, record.state.result.failure_signature
        if record.status != FAILED or outcome.cause in NOT_COUNTED or not signature:
            return None
        jobs = self._alike.setdefault(program, {}).setdefault(f"{outcome.cause}: {signature}", [])
        jobs.append(record.job)
        return None if len(jobs) < self._limit else _reason(jobs, signature)


def _reason(jobs: list[Job], signature: str) -> str:
    log = shown(Path(JobPaths(jobs[0].out_dir).combined))
    since = f"{len(jobs)} jobs failed alike, and none completed since: {signature}"
    return f"{since}; see {log}; fix it and resume, or give --max_same_failures 0"
