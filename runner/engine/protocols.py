"""What the engine asks of a source of jobs, of an executor and of an observer. Public: plugins implement these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from runner.core.job import Attempt, Job
from runner.core.requests import Answer, Incoming
from runner.core.state import Record
from runner.engine.events import Event


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now; the engine asks again soon. `reason` is a phrase for the user: `no GPU with 20 GiB is free`.

    Without a reason it is the usual wait for a job to end, which is not announced. `others`: a job that needs less may
    be started meanwhile. `over`: it has waited for as long as it may; no further job is started.
    """

    reason: str = ""
    others: bool = False
    over: bool = False


@dataclass(frozen=True)
class Lease:
    """The room that an executor offers to one job. An executor that has to remember more makes a subclass.

    A lease reserves nothing by itself: the engine submits the job at once, or never.
    """


#: `stop`: save and leave; `prune`: the same, because a search has seen enough of the job; `kill`: end it now.
How = Literal["stop", "prune", "kill"]


class Handle(Protocol):
    """A job that was submitted, or adopted."""

    job: Job
    attempt: Attempt

    @property
    def pid(self) -> int | None:
        """The job's process; None until it has started."""

    @property
    def started_at(self) -> str | None:
        """ISO 8601 with zone."""

    def done(self) -> bool:
        """True once the job has ended."""

    def record(self) -> Record | Wait:
        """How it ended. Called once, when it is done.

        Wait: it did not start, for a reason that will pass. The job is submitted again, and that counts as no attempt.
        """

    def stop(self, how: How) -> None:
        """Ask the job to save and leave (`stop`, `prune`), or end all its processes now (`kill`).

        One that was asked to leave by `prune` ends as `pruned`, which is a success.
        """


class Executor(Protocol):
    """Where jobs run. It alone writes what belongs to them; a job's failure is a record, never an exception.

    It may have attributes beside the methods. `tick` and `look` are the seconds between two calls of `wait`, and
    between two looks at what running jobs wrote, where a quarter of a second is too often. `leaves` are signals after
    which the engine ends and the jobs continue.
    """

    def offer(self, job: Job) -> Lease | Wait:
        """Room for this job, or why there is none now. It is asked for the next job; for others only after a Wait that
        allows them to overtake it."""

    def submit(self, job: Job, lease: Lease) -> Handle | Record | Wait:
        """Start the job. A Record says that it did not start: it cannot be started, or it has completed already.

        Wait: it could not be started now, for a reason that will pass. It is submitted again a little later.
        """

    def adopt(self, job: Job) -> Handle | None:
        """Take over a job that is running already, started by an engine that is gone. None if it is not running."""

    def wait(self, seconds: float, wake: int) -> None:
        """Return when something happens to a job, when the descriptor `wake` becomes readable, or after `seconds`."""


@dataclass(frozen=True, slots=True)
class Promoted:
    """A job that was pruned, to be started again: it continues from its checkpoint."""

    job: Job


class JobSource(Protocol):
    """Where jobs come from."""

    def next(self, records: Mapping[str, Record]) -> Job | Promoted | Wait | None:
        """The next job, in view of all records so far; Wait: there will be one later; None: there are no more.

        It is asked for one job more than can run. A job that is not in the plan is added to the batch. No job may be
        returned twice, but as Promoted. A source need not know which jobs are kept or adopted: the engine passes over
        them.
        """


@runtime_checkable
class PruningSource(JobSource, Protocol):
    """A source that ends some of its jobs early."""

    def prunes(self, job: Job) -> str:
        """Why this running job is to save and leave, as a phrase; empty as long as it may run. Asked at every look."""


class StopRequests(Protocol):
    """The signals that came so far: runner.processes.signals.Signals."""

    received: list[int]
    drain_requested: bool

    def fileno(self) -> int:
        """Readable once a signal came."""

    def drain(self) -> None:
        """Make `fileno` quiet again."""


class Requests(Protocol):
    """What a user requests of the batch while it runs, beside the signals."""

    def take(self) -> Sequence[Incoming]:
        """Those that came since the last call. It is called at every tick, so it must be quick."""

    def answer(self, incoming: Incoming, answer: Answer) -> None:
        """What was done. Called once for each that was taken."""


class Observer(Protocol):
    """Receives every event. It is called in the engine's loop, so it must be quick."""

    def __call__(self, event: Event) -> None: ...


class FixedPlan:
    """The jobs of a plan, in their order: a JobSource that never waits."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = iter(jobs)

    def next(self, records: Mapping[str, Record]) -> Job | None:
        return next(self._jobs, None)
