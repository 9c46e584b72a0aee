"""What happens in a batch, as values, and the one dispatcher that sends them to observers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from runner.core.job import Job, Plan
from runner.core.printing import say
from runner.core.state import Record
from runner.engine.progress import Progress


@dataclass(frozen=True, slots=True)
class BatchStarted:
    """The first event. `kept`: name of a job that is not run -> its record. A JobEnded follows for each that ended."""

    plan: Plan
    kept: Mapping[str, Record] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobAdded:
    """A job that was not in the plan when the batch started."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobWaiting:
    """The next job cannot start now, for a new reason; an empty reason takes back the one before."""

    job: Job
    reason: str


@dataclass(frozen=True, slots=True)
class JobSkipped:
    """A pending job will not be started in this run of the batch; `reason` is a phrase: `skipped by request`."""

    job: Job
    reason: str


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The state of the record is Running. It is sent for adopted jobs too."""

    record: Record


@dataclass(frozen=True, slots=True)
class JobProgressed:
    """`lines` are what the job printed since the last event, without timestamps."""

    job: Job
    progress: Progress
    lines: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class JobEnded:
    """The state of the record is Finished. `again`: it is not the last attempt, the job will be started again."""

    record: Record
    again: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: sent a few times a second, for those who draw, or write now and then."""


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """The last event: a record for every job, in order. `stopped`: why not all were started.

    `waited`: because one had waited for as long as it may.
    """

    records: Sequence[Record]
    stopped: str | None = None
    waited: bool = False


Event = (
    BatchStarted
    | JobAdded
    | JobWaiting
    | JobSkipped
    | JobStarted
    | JobProgressed
    | JobEnded
    | Notice
    | Tick
    | BatchEnded
)


class Dispatcher:
    """Sends each event to all observers, in their order.

    An observer that raises is reported once, to the others, and gets no further event: the batch continues.
    """

    def __init__(self, observers: Iterable[Callable[[Event], None]]) -> None:
        self._observers = list(observers)

    def send(self, event: Event) -> None:
        failures: list[tuple[Callable[[Event], None], Exception]] = []
        for observer in self._observers:
            try:
                observer(event)
            except Exception as error:  # whatever somebody else's observer raises
                failures.append((observer, error))
        if failures:
            failed = [id(observer) for observer, _ in failures]
            self._observers = [observer for observer in self._observers if id(observer) not in failed]
            for observer, failure in failures:
                self._report(observer, failure)

    def _report(self, observer: Callable[[Event], None], error: Exception) -> None:
        name = getattr(observer, "__name__", type(observer).__name__)
        text = f"The observer {name} failed and is not used any more: {type(error).__name__}: {error}"
        if self._observers:
            self.send(Notice(text))
        elif sys.stderr is not None:  # nobody else is left to show it
            try:
                say(text, file=sys.stderr)
            except (OSError, ValueError):  # a terminal that is gone must not end the batch
                pass
