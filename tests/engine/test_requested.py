"""Requests of a user to a running batch, as the engine carries them out. No process."""

from __future__ import annotations

import pytest

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.requests import AddJobs, Answer, MoveJobs, Request, SkipJobs, StopJobs
from runner.core.state import COMPLETED, FAILED, Record, Running
from runner.engine.events import Event, JobAdded, JobEnded, JobSkipped, Notice
from runner.engine.protocols import FixedPlan
from runner.engine.queue import Queue
from runner.engine.requested import Requested
from tests.engine.fakes import FakeHandle, ended, job


class Moment:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(jobs: Queue, most: int = 9) -> str:
    found = [jobs.next({}) for _ in range(most)]
    return "".join(one.name if isinstance(one, Job) else "." for one in found)


class Batch:
    """Jobs r (runs), p (pending), f (waits for a retry), c (completed), k (kept)."""

    def __init__(self) -> None:
        self.clock = Moment()
        self.events: list[Event] = []
        self.stops: list[str] = []
        self.records = {name: Record(job(name)) for name in "rpfck"}
        self.records["f"], self.records["c"] = ended("f", FAILED), ended("c", COMPLETED)
        self.records["r"] = Record(job("r"), Running("", 1))
        self.queue = Queue(FixedPlan([job("p"), job("q")]), (), self.clock)
        self.queue.put_later(job("f"), 5.0)
        handle = FakeHandle(job("r"), 1, "endless", self.clock)  # type: ignore[arg-type]
        handle.stop = self.stops.append  # type: ignore[method-assign, assignment]
        self.requested = Requested(
            RunOptions(grace=(7.0, 1.0, 1.0)), self.queue, self.records, {"k"}, {handle: None}, self.events.append
        )

    def asks(self, request: Request, stopping: str | None = None) -> Answer:
        return self.requested.carry_out(request, stopping)

    def notices(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]


@pytest.mark.parametrize(
    ("request_", "lines"),
    [
        (StopJobs(("x",)), ["x: no such job"]),
        (StopJobs(("p",)), ["p: is not running (pending); skip keeps it from being started"]),
        (StopJobs(("c", "r")), ["c: is not running (completed)"]),
        (SkipJobs(("x", "c")), ["x: no such job", "c: is not to be started (completed)"]),
        (SkipJobs(("r",)), ["r: runs already; stop ends it"]), (MoveJobs(("r",), True), ["r: runs already"]),
        (SkipJobs(("k",)), ["k: is not to be started (pending)"]),
        (MoveJobs(("f",), True), ["f: is not to be started (failed)"]),
        (AddJobs((job("P"), job("new")), True), ["P: there is a job of that name already"]),
    ],
)  # fmt: skip
def test_a_request_that_cannot_be_meant_changes_nothing(request_: Request, lines: list[str]) -> None:
    batch = Batch()
    assert batch.asks(request_) == Answer(tuple(lines), refused=True) and batch.events == [] and batch.stops == []


def test_jobs_are_stopped_called_off_and_skipped() -> None:
    batch = Batch()
    assert batch.asks(StopJobs(("r",))).lines == (
        "r: was asked to save and leave within 7 s (--grace); the batch continues",
    )
    assert batch.stops == ["stop"] and batch.requested.stopped == {"r"}
    assert batch.asks(StopJobs(("r",), kill=True)).lines == (
        "r: is killed with every process below; the batch continues",
    )
    assert batch.stops == ["stop", "kill"]
    assert batch.notices()[0] == "By request: r was asked to save and leave within 7 s (--grace); the batch continues."
    assert batch.asks(StopJobs(("f",))).lines == ("f: is not tried again",) and not batch.queue.holds("f")
    assert JobEnded(batch.records["f"]) in batch.events and "By request: f is not tried again." in batch.notices()
    batch.asks(SkipJobs(("p",)))
    assert JobSkipped(job("p"), "skipped by request") in batch.events
    assert batch.asks(SkipJobs(("p",))).lines == ("p: is not to be started (skipped by request)",)
    assert "By request: p is skipped; a resumed batch runs it." in batch.notices()
    batch.queue.put_later(job("f"), 5.0)
    assert batch.asks(SkipJobs(("f",))).lines == ("f: is not tried again",)
    assert drawn(batch.queue) == "q........"


def test_jobs_are_moved_and_added_before_or_after_the_others() -> None:
    batch = Batch()
    assert (
        not batch.asks(AddJobs((job("x"), job("y")), True)).refused
        and not batch.asks(AddJobs((job("z"),), False)).refused
    )
    assert JobAdded(job("x")) in batch.events and [*batch.records][-3:] == ["x", "y", "z"]
    assert not batch.asks(MoveJobs(("p", "z"), True)).refused and not batch.asks(MoveJobs(("x",), False)).refused
    assert drawn(batch.queue) == "pzyqx...."


# What follows from an end
