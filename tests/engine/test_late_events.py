"""The next job starts before observers get the end of the one that completed: what they do takes no time of a batch."""

from __future__ import annotations

from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import Record
from runner.engine import loop
from runner.engine.events import Event, JobEnded
from runner.engine.protocols import JobSource, Lease, Wait
from runner.processes.signals import NoSignals
from tests.engine.fakes import NOWHERE, Clock, FakeExecutor, FakeHandle, Steps, job


class Noted(FakeExecutor):
    """Writes down which job it gets, in the list of the observer."""

    def __init__(self, behaviours: dict[str, list[str]], clock: Clock, lines: list[str]) -> None:
        super().__init__(behaviours, 1, clock, {}, {})
        self._lines = lines

    def submit(self, job: Job, lease: Lease) -> FakeHandle | Record | Wait:
        self._lines.append(f"submit {job.name}")
        return super().submit(job, lease)


def lines_of(behaviours: dict[str, list[str]], source: JobSource | None = None) -> list[str]:
    lines: list[str] = []

    def observe(event: Event) -> None:
        if isinstance(event, JobEnded):
            lines.append(f"{event.record.job.name} {event.record.status}")

    clock = Clock({})
    plan = Plan("p", NOWHERE, tuple(map(job, "abc")), PlanKind("files"), "")
    with NoSignals(clock) as signals:
        loop.run(plan, Noted(behaviours, clock, lines), [observe], signals, source=source, clock=clock)
    return lines


def test_the_next_job_starts_before_the_end_of_a_completed_one_is_sent() -> None:
    assert lines_of({}) == ["submit a", "submit b", "a completed", "submit c", "b completed", "c completed"]


def test_the_end_of_a_job_that_failed_is_sent_first_since_it_may_stop_the_batch() -> None:
    assert lines_of({"a": ["failed"]})[:3] == ["submit a", "a failed", "submit b"]


def test_a_source_that_decides_by_the_ends_gets_each_of_them_first() -> None:
    lines = lines_of({}, Steps("a b c", "", NOWHERE))
    assert lines == ["submit a", "a completed", "submit b", "b completed", "submit c", "c completed"]
