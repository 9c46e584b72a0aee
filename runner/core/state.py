"""The states of a job. A state carries exactly its own data, so that an invalid one cannot be expressed."""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.core.job import Job
from runner.core.result import Result

#: How a job can end. docs/file-formats.md explains each.
COMPLETED, FAILED, KILLED, TIMEOUT, STALLED, INTERRUPTED, ERROR, PRUNED = (
    "completed",  # exit code 0 was observed
    "failed",  # another exit code
    "killed",  # died by a signal that the runner did not send
    "timeout",  # ran longer than --timeout allows
    "stalled",  # printed nothing and measured nothing for as long as --stall_timeout allows
    "interrupted",  # the batch got a stop request
    "error",  # could not be started, or the runner lost it
    "pruned",  # a search stopped it, since others do better
)
SUCCESSES = frozenset({COMPLETED, PRUNED})  # the ends after which nothing is left to do


PENDING, RUNNING = "pending", "running"  # of a job that has not ended
LOST, UNREADABLE = "lost", "unreadable"  # of one whose processes are gone, or whose record is odd: it can run again


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: `status` is one of the words above; `exit_code` and `signal` exclude each other.

    `command_signal`, `cause` and `cause_sure` are as in its result.
    """

    status: str
    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None
    command_signal: str | None = None
    cause: str | None = None
    cause_sure: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """Not started."""


@dataclass(frozen=True, slots=True)
class Running:
    """Started. `started_at` is ISO 8601 with zone."""

    started_at: str
    pid: int
    argv: tuple[str, ...] = ()  # the command as it runs
    host: str | None = None  # the other host where it runs; None: here
    gpus: tuple[str, ...] = ()  # that it was given, as tables name them


@dataclass(frozen=True, slots=True)
class Finished:
    """Ended. `seconds` comes from the monotonic clock, the two times from the wall clock."""

    started_at: str | None
    ended_at: str
    seconds: float
    outcome: Outcome
    result: Result = field(default_factory=lambda: Result({}))  # experiment_result.json; empty if none was written


State = Pending | Running | Finished
_PENDING = Pending()


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one job."""

    job: Job
    state: State = _PENDING
    attempt: int = 1
    cached: bool = False  # it ended in an earlier run of the batch

    @property
    def status(self) -> str:
        """One word for tables: `pending`, `running`, or how it ended."""
        match self.state:
            case Pending():
                return PENDING
            case Running():
                return RUNNING
            case Finished(outcome=outcome):
                return outcome.status

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs that it has, or had, where the batch divides them."""
        match self.state:
            case Running(gpus=gpus):
                return gpus
            case Finished(result=result):
                return result.gpus
        return ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong although the job went on: a loss that is NaN, a log that was cut."""
        return self.state.result.warnings if isinstance(self.state, Finished) else ()
