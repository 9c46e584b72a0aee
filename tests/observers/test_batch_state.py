"""The state that observers keep of a batch, and the registry that they come from."""

from __future__ import annotations

import io

import pytest

from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, FAILED, PENDING, Record, Running
from runner.engine.events import BatchStarted, JobAdded, JobEnded, JobProgressed, JobStarted, JobWaiting
from runner.engine.progress import Progress
from runner.observers.batch_state import BatchState
from runner.observers.journal import Journal
from runner.observers.live import Screen
from runner.observers.plain import Lines
from runner.observers.registry import OBSERVERS, ObserverContext, make_observers, terminal_observer
from tests.engine.fakes import NOWHERE, ended, job


class Moment:
    """A clock that does not move until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def plan(*names: str) -> Plan:
    return Plan("p", NOWHERE, tuple(map(job, names)), PlanKind("files"), "")


def running(name: str) -> JobStarted:
    return JobStarted(Record(job(name), Running("", 1)))


def state_of(*events: object, clock: Moment | None = None, kept: dict[str, Record] | None = None) -> BatchState:
    state = BatchState(clock or Moment())
    for event in (BatchStarted(plan("a", "b", "c"), kept or {}), *events):
        state.apply(event)  # type: ignore[arg-type]
    return state


def test_a_job_counts_once_however_often_it_is_tried() -> None:
    failure, success = Record(job("a"), ended("a", FAILED).state), Record(job("a"), ended("a", COMPLETED).state)
    state = state_of(running("a"), JobEnded(failure, again=True))
    assert (state.ended, state.total, state.since) == (0, 3, {})
    for event in (running("a"), JobEnded(failure, again=True), running("a"), JobEnded(success)):
        state.apply(event)
    assert (state.ended, state.total) == (1, 3) and state.records["a"].status == COMPLETED


def test_earlier_jobs_of_the_batch_are_its_first() -> None:
    state = BatchState(Moment(), earlier=[ended("x", COMPLETED), Record(job("y"))])
    state.apply(BatchStarted(plan("a")))
    assert list(state.records) == ["x", "y", "a"] and state.number("a") == 3
    assert (state.ended, state.total) == (1, 3) and [one.name for one in state.plan.jobs] == ["x", "y", "a"]


def test_an_added_job_is_the_last() -> None:
    state = state_of(JobAdded(job("d")))
    assert state.number("d") == 4 and state.records["d"].status == PENDING and state.plan.jobs[-1].name == "d"


def test_a_reason_holds_until_the_job_starts() -> None:
    state = state_of(JobWaiting(job("a"), "no GPU is free"))
    assert state.reasons == {"a": "no GPU is free"}
    state.apply(running("a"))
    assert state.reasons == {}


@pytest.mark.parametrize(
    ("seconds", "progress", "done", "kept", "expected"),
    [
        (4, None, (), (), None),  # nothing is known yet
        (4, Progress(50, 100, speed=5.0), (), (), 10 + 2 * 14),
        (4, None, ("b",), (), 0 + 1),  # b took a second; a takes longer than that
        (0, None, ("b",), (), 1 + 1),
        (4, Progress(50, 100, speed=5.0), (), ("b", "c"), 10),  # those are not run
    ],
)
def test_the_time_that_remains(
    seconds: float, progress: Progress | None, done: tuple[str, ...], kept: tuple[str, ...], expected: float | None
) -> None:
    clock = Moment()
    state = state_of(running("a"), clock=clock, kept={name: Record(job(name)) for name in kept})
    for name in done:
        state.apply(JobEnded(ended(name, COMPLETED)))
    if progress is not None:
        state.apply(JobProgressed(job("a"), progress))
    clock.now = seconds
    assert state.remaining() == (None if expected is None else pytest.approx(expected))


def test_what_jobs_took_after_their_last_iteration_is_part_of_the_time_that_remains() -> None:
    clock = Moment()
    state = state_of(running("a"), JobProgressed(job("a"), Progress(90, 100, speed=1.0)), clock=clock)
    assert state.remaining_of("a") == 10.0
    clock.now = 10.0
    state.apply(JobProgressed(job("a"), Progress(100, 100, speed=1.0)))
    assert state.remaining_of("a") is None  # no job has shown yet how long it evaluates
    assert state.remaining() == pytest.approx(0 + 2 * 10)
    clock.now = 50.0
    state.apply(JobEnded(ended("a", COMPLETED)))
    state.apply(running("b"))
    state.apply(JobProgressed(job("b"), Progress(90, 100, speed=1.0)))
    assert state.remaining_of("b") == 10.0 + 40.0
    clock.now = 65.0
    state.apply(JobProgressed(job("b"), Progress(100, 100, speed=1.0)))
    clock.now = 70.0
    assert state.remaining_of("b") == 35.0


def test_the_jobs_that_wait_are_divided_among_the_workers() -> None:
    state = BatchState(Moment())
    state.apply(BatchStarted(plan(*"abcdefg")))
    for name, rest in (("a", 10), ("b", 30)):
        state.apply(running(name))
        state.apply(JobProgressed(job(name), Progress(0, rest, speed=1.0)))
    # Five jobs of 20 s: from 10 on 30, 50, 70; from 30 on 50, 70.
    assert state.remaining() == pytest.approx(70.0)


def test_a_job_that_is_started_again_starts_from_nothing() -> None:
    state = state_of(running("a"), JobProgressed(job("a"), Progress(90, 100, 2.5)))
    assert state.phase("a") == ""
    state.apply(JobEnded(Record(job("a"), ended("a", FAILED).state), again=True))
    state.apply(running("a"))
    assert state.phase("a") == "starting" and state.fraction == 0.0
    state.apply(JobProgressed(job("a"), Progress(45, 100, 2.5, phase="evaluating")))
    assert state.phase("a") == "evaluating" and state.fraction == pytest.approx(0.15)


def test_observers_are_made_by_name_each_once() -> None:
    made = make_observers(["journal", "plain", "journal", "live"], ObserverContext(io.StringIO()))
    assert [type(one) for one in made] == [Journal, Lines, Screen]
    with pytest.raises(UserError, match="unknown observer 'plian'; did you mean 'plain'"):
        make_observers(["plian"], ObserverContext(io.StringIO()))
    assert {"journal", "plain", "live"} <= set(OBSERVERS.local_names())


def test_what_is_not_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert terminal_observer(ObserverContext(io.StringIO())) == "plain"
    assert terminal_observer(ObserverContext(Terminal())) == "live"
    assert terminal_observer(ObserverContext(Terminal(), quiet=True)) == "plain"
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_observer(ObserverContext(Terminal())) == "plain"
