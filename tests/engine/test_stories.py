"""Stories of a batch in a line or two each: the engine with a fake executor, a fake clock and a recording observer.

`jobs` are those of the plan and what the executor does with each, a word an attempt (tests/engine/fakes.py): `a
b=failed c=failed/completed:3`. `steps` are those of a source that is not the plan, with what each waits for: `a b<a`.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from runner.core.job import Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, FAILED
from runner.engine import loop
from runner.engine.events import (
    Event,
)
from runner.engine.policy import LONGEST_DELAY
from runner.engine.protocols import Observer
from runner.observers.batch_state import BatchState
from runner.processes.signals import NoSignals, Signals
from tests.engine.fakes import NOWHERE, Clock, FakeExecutor, FakeRequests, Recorder, Steps, ended, job, request

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
DRAIN, KILL = Signals.DRAIN, Signals.AT_ONCE


@dataclass(frozen=True)
class Story:
    """One batch. `expected` are its events, split by `|`; times are compared where it has any (`@0`)."""

    about: str
    jobs: str
    expected: str
    options: RunOptions = field(default_factory=RunOptions)
    slots: int = 1
    signals: Sequence[tuple[float, int]] = ()
    requests: Sequence[tuple[float, str]] = ()
    answers: Sequence[str] = ()  # parts of them; `!` before one that is refused
    kept: Mapping[str, str] = field(default_factory=dict)
    adopted: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, Sequence[tuple[float, float, str]]] = field(default_factory=dict)
    steps: str | None = None  # a source of jobs instead of the plan
    reason: str = "a result is missing"  # of that source
    stopped: str | None = None
    notices: Sequence[str] = ()  # beginnings


def retries(number: int, **more: object) -> RunOptions:
    return RunOptions(retries=number, retry_delay=10.0).updated(more)


STORIES = [
    # order and slots
    Story("nothing to do", "", ""),
    Story("one job", "a", "a starts @0|a completed"),
    Story("jobs run in their order", "a b c",
          "a starts @0|a completed|b starts @1|b completed|c starts @2|c completed"),
    Story("a failure does not stop the others", "a=failed b", "a starts|a failed|b starts|b completed"),
    Story("two at once", "a=completed:2 b=completed:3", "a starts @0|b starts @0|a completed|b completed", slots=2),
    Story("a free slot is taken at once", "a=completed:3 b=completed:1 c",
          "a starts @0|b starts @0|b completed|c starts @1|c completed|a completed", slots=2),
    Story("more slots than jobs", "a b", "a starts @0|b starts @0|a completed|b completed", slots=9),
    # jobs that are kept
    Story("a kept job is shown and not run", "a b", "a completed|b starts|b completed", kept={"a": COMPLETED}),
    Story("all are kept", "a b", "a completed|b completed", kept={"a": COMPLETED, "b": COMPLETED}),
    Story("a kept job may have failed", "a b", "a failed|b starts|b completed", kept={"a": FAILED}),
    Story("a kept job may be pending", "a b", "a starts|a completed|b is left", kept={"b": "pending"}),
    Story("a kept failure is not tried again", "a", "a failed", retries(1), kept={"a": FAILED}),
    Story("a kept failure does not count against the limit", "a b=failed c",
          "a failed|b starts|b failed|c starts|c completed", RunOptions(max_failures=2), kept={"a": FAILED}),
    # jobs that do not start
    Story("a job that cannot be started is an error", "a=refused b", "a error|b starts @0|b completed"),
    Story("none can be started", "a=refused b=refused", "a error|b error", slots=2),
    Story("one that cannot be started fails fast", "a=refused b", "a error|b is left", RunOptions(fail_fast=True)),
    Story("it is not tried again by default", "a=refused", "a error", retries(2)),
    Story("it is tried again when errors are", "a=refused/completed", "a error, again|a starts @10|a completed",
          retries(1, retry_on=("error",))),
    Story("out of memory beside other jobs does not count", "a=packed b",
          "a starts|a failed, again|a starts|a completed|b starts|b completed", RunOptions(fail_fast=True),
          notices=["a ran out of GPU memory beside other jobs"]),
    Story("and no retry", "a=packed/failed/completed",
          "a starts @0|a failed, again|a starts @1|a failed, again|a starts @12|a completed", retries(1)),
    Story("a job that is found completed is not run", "a=found b", "a completed|b starts @0|b completed"),
    # limits of failures
    Story("fail fast", "a b=failed c", "a starts|a completed|b starts|b failed|c is left",
          RunOptions(fail_fast=True), stopped="1 job did not complete",
          notices=["No further job is started: 1 job did not complete"]),
    Story("the second failure is the limit", "a=failed b c=failed d",
          "a starts|a failed|b starts|b completed|c starts|c failed|d is left", RunOptions(max_failures=2),
          stopped="2 jobs did not complete"),
    Story("failures below the limit", "a=failed b", "a starts|a failed|b starts|b completed",
          RunOptions(max_failures=2)),
    Story("what is running is waited for", "a=failed b=completed:5 c",
          "a starts|b starts|a failed|b completed|c is left", RunOptions(fail_fast=True), slots=2,
          notices=["No further job is started: 1 job did not complete, which is the limit. Waiting for b."]),
    # retries
    Story("a failed job is tried again", "a=failed/completed",
          "a starts @0|a failed, again|a starts @11|a completed", retries(1),
          notices=["a is tried again in 10.0 s, retry 1 of 1."]),
    Story("the delay doubles", "a=failed/failed/failed/completed",
          "a starts @0|a failed, again|a starts @11|a failed, again|a starts @32|a failed, again|"
          "a starts @73|a completed", retries(3)),
    Story("the delay has an upper limit", "a=failed/failed/completed",
          f"a starts @0|a failed, again|a starts @401|a failed, again|a starts @{402 + LONGEST_DELAY:g}|a completed",
          retries(2, retry_delay=400.0)),
    Story("no try is left", "a=failed/failed", "a starts|a failed, again|a starts|a failed", retries(1)),
    Story("others run meanwhile", "a=failed/completed b=completed:20 c",
          "a starts @0|a failed, again|b starts @1|b completed|a starts @21|a completed|c starts @22|c completed",
          retries(1)),
    Story("retries that are due at once keep their order, before the others",
          "a=failed/completed b=failed/completed c=completed:30 d=completed:30 e",
          "a starts|b starts|a failed, again|b failed, again|c starts|d starts|c completed|d completed|"
          "a starts|b starts|a completed|b completed|e starts|e completed", retries(1), slots=2),
    Story("a killed job is tried again", "a=killed/completed", "a starts|a killed, again|a starts|a completed",
          retries(1)),
    Story("a late job is tried again", "a=timeout/completed", "a starts|a timeout, again|a starts|a completed",
          retries(1)),
    Story("a stalled job is tried again", "a=stalled/completed", "a starts|a stalled, again|a starts|a completed",
          retries(1)),
    Story("other causes are not", "a=failed", "a starts|a failed", retries(1, retry_on=("signal", "timeout"))),
    Story("a lost job is not", "a=error", "a starts|a error", retries(1)),
    Story("a failure counts when no try is left", "a=failed/completed b",
          "a starts|a failed, again|b starts|b completed|a starts|a completed", retries(1, fail_fast=True)),
    Story("the last failure counts", "a=failed/failed b=completed:15 c",
          "a starts|a failed, again|b starts|b completed|a starts|a failed|c is left", retries(1, fail_fast=True)),
    Story("a limit that is reached ends the waiting for a retry", "a=failed/completed b",
          "b starts|a starts|a failed, again|b error", retries(1, fail_fast=True), slots=2, adopted={"b": "error:3"}),
    # adoption
    Story("a job that runs already is adopted", "a b", "b starts @0|b completed|a starts @2|a completed",
          adopted={"b": "completed:2"}, notices=["b runs already, pid 1; waiting for it."]),
    Story("adopted jobs may need more slots than there are", "a b c",
          "a starts|b starts|a completed|b completed|c starts|c completed", adopted={"a": COMPLETED, "b": COMPLETED}),
    Story("a kept job is not adopted", "a", "a completed", kept={"a": COMPLETED}, adopted={"a": FAILED}),
    Story("an adopted failure is a failure", "a b", "a starts|a failed|b is left", RunOptions(fail_fast=True),
          adopted={"a": FAILED}),
    Story("an adopted failure is tried again", "a", "a starts @0|a failed, again|a starts @11|a completed",
          retries(1), adopted={"a": FAILED}),
    Story("its first attempt counts as a try", "a=failed", "a starts|a failed, again|a starts|a failed", retries(1),
          adopted={"a": FAILED}),
    Story("an adopted job that was interrupted is the next again", "a b",
          "b starts @0|b interrupted, again|b starts @1|b completed|a starts @2|a completed",
          adopted={"b": "interrupted"}),
    Story("the interruption of an adopted job does not count as an attempt", "a=failed/completed",
          "a starts|a interrupted, again|a starts|a failed, again|a starts|a completed", retries(1),
          adopted={"a": "interrupted"}),
    Story("memory that others had delays a job as a first retry does", "a=failed~gpu_oom_foreign/completed",
          "a starts @0|a failed, again|a starts @11|a completed", retries(1)),
    Story("an adopted job that is interrupted now is not", "a", "a starts|a interrupted", adopted={"a": "endless"},
          signals=[(1, INT)], stopped="interrupted"),
    # signals
    Story("the first signal asks to leave", "a=endless b", "a starts|a interrupted|b is left", signals=[(1, INT)],
          stopped="interrupted",
          notices=["Stopping: asked a to save and leave within 10 s (--grace). A second Ctrl+C"]),
    Story("SIGTERM is such a signal", "a=endless b", "a starts|a interrupted|b is left", signals=[(1, TERM)]),
    Story("a job that does not leave is waited for", "a=endless! b", "a starts|a interrupted|b is left",
          signals=[(1, INT), (9, INT)], notices=["Stopping", "Killing a and every process below."]),
    Story("a second signal at once is an echo", "a=completed:3!", "a starts|a completed",
          signals=[(1, INT), (1.1, INT)], notices=["Stopping"]),
    Story("a terminal that goes sends SIGHUP twice", "a=completed:9!", "a starts|a completed",
          signals=[(1, HUP), (3, HUP)], notices=["Stopping"]),
    Story("SIGHUP never kills", "a=endless!", "a starts|a interrupted", signals=[(1, INT), (3, HUP), (5, INT)],
          notices=["Stopping", "Killing"]),
    Story("SIGUSR2 kills at once", "a=endless! b", "a starts|a interrupted|b is left", signals=[(1, KILL)],
          notices=["Stopping", "Killing a and"]),
    Story("a signal before the start starts nothing", "a b", "a is left|b is left", signals=[(0, INT)],
          notices=["Stopping: asked no job"]),
    Story("a signal reaches every running job", "a=endless b=endless c",
          "a starts|b starts|a interrupted|b interrupted|c is left", slots=2, signals=[(1, INT)],
          notices=["Stopping: asked a, b to save"]),
    Story("a job that completes all the same is completed", "a=completed:2! b", "a starts|a completed|b is left",
          signals=[(1, INT)]),
    Story("an interrupted batch does not wait for a retry", "a=failed", "a starts|a failed, again", retries(1),
          signals=[(5, INT)], stopped="interrupted"),
    Story("a failure after a signal is not tried again", "a=endless! b=failed:3!",
          "a starts|b starts|b failed|a interrupted", retries(1), slots=2, signals=[(1, INT), (9, INT)]),
    Story("SIGUSR1 finishes what is running", "a=completed:3 b", "a starts|a completed|b is left",
          signals=[(1, DRAIN)], stopped="only the running jobs",
          notices=["No further job is started: only the running jobs were to be finished. Waiting for a."]),
    Story("SIGUSR1 ends the waiting for a retry", "a=failed b", "a starts|a failed, again|b starts|b completed",
          retries(1), signals=[(1.5, DRAIN)], notices=["a is tried again", "No further job is started"]),
    Story("SIGUSR1 and then Ctrl+C", "a=endless b", "a starts|a interrupted|b is left",
          signals=[(1, DRAIN), (3, INT)], notices=["No further job", "Stopping: asked a"], stopped="interrupted"),
    # reasons to wait
    Story("a full slot is not announced", "a b", "a starts @0|a completed|b starts @1|b completed"),
    Story("a reason is announced once", "a b",
          "a waits: no GPU is free|a starts @3|a completed|b starts @4|b completed",
          reasons={"a": [(0, 3, "no GPU is free")]}),
    Story("a new reason is announced", "a", "a waits: no GPU is free|a waits: GPU 1 is hot|a starts @5|a completed",
          reasons={"a": [(0, 3, "no GPU is free"), (3, 5, "GPU 1 is hot")]}),
    Story("a reason that is over is taken back", "a=completed:4 b",
          "b waits: no GPU is free|a starts @0|b waits for a slot|a completed|b starts @4|b completed",
          reasons={"b": [(0, 2, "no GPU is free")]}),
    Story("none overtakes a job that waits", "a b",
          "a waits: too large|a starts @2|b starts @2|a completed|b completed", slots=2,
          reasons={"a": [(0, 2, "too large")]}),
    Story("a job that waits can be given up", "a b", "a waits: too large|a is left|b is left",
          reasons={"a": [(0, 99, "too large")]}, signals=[(1, INT)]),
    Story("a retry has reasons of its own", "a=failed/completed",
          "a waits: busy|a starts @2|a failed, again|a waits: busy|a starts @20|a completed", retries(1),
          reasons={"a": [(0, 2, "busy"), (12.5, 20, "busy")]}),
    # sources
    Story("a source adds jobs", "", "a is added|b is added|a starts @0|a completed|b starts @1|b completed",
          steps="a b"),
    Story("a source waits for a result", "", "a is added|a starts @0|a completed|b is added|b starts @1|b completed",
          steps="a b<a", notices=["No further job yet: a result is missing."]),
    Story("a source waits in silence", "", "a is added|a starts|a completed|b is added|b starts|b completed",
          steps="a b<a", reason=""),
    Story("a start for which there is no room is waited for", "a=full/full/completed b",
          "a waits: too many processes|a starts @2|a completed|b starts @3|b completed"),
    Story("a job that did not start is started later", "a=unstarted/completed b",
          "a waits: too many processes|a starts @2|a completed|b starts @3|b completed"),
    Story("a start without room does not count as a try", "a=full/unstarted/failed/completed",
          "a waits: too many processes|a starts|a failed, again|a starts|a completed", retries(1)),
    Story("a start without room can be given up", "a=unstarted/endless b", "a waits: too many processes|a is left|"
          "b is left", signals=[(1.5, INT)], stopped="interrupted"),
    Story("a start without room can be skipped", "a=full/endless b", "a waits: too many processes|"
          "a is skipped by request|b starts|b completed|a is left", requests=[(0.5, "skip a")]),
    Story("a source waits while nothing is running", "", "a is added|a starts @1|a completed", steps="a<4"),
    Story("a source that waits can be stopped", "", "", steps="a<9999", signals=[(2, INT)], stopped="interrupted"),
    Story("a source continues a plan", "a b",
          "a starts|a completed|b starts|b completed|c is added|c starts|c completed", steps="a b c<b"),
    Story("a source may return what is kept", "a b", "a completed|b starts|b completed", steps="a b",
          kept={"a": COMPLETED}),
    Story("a source may return what is adopted", "a", "b is added|a starts|a completed|b starts|b completed",
          steps="a b", adopted={"a": "completed:2"}),
    Story("a source is not asked after the limit", "", "a is added|a starts|a failed", RunOptions(fail_fast=True),
          steps="a=failed b<a c<a"),
    Story("a source that sees a failed job can go on", "",
          "a is added|a starts|a failed|b is added|b starts|b completed", steps="a=failed b<a"),
    # requests
    Story("a job is stopped by request and the batch continues", "a=endless b",
          "a starts @0|a interrupted|b starts @2|b completed", requests=[(2, "stop a")],
          answers=["a: was asked to save and leave within 10 s (--grace); the batch continues"],
          notices=["By request: a was asked to save"]),
    Story("one of two that run is stopped", "a=endless b=completed:9",
          "a starts @0|b starts @0|a interrupted|b completed", slots=2, requests=[(2, "stop a")]),
    Story("a stubborn job is killed by request", "a=endless! b",
          "a starts @0|a interrupted|b starts @5|b completed", requests=[(2, "stop a"), (5, "kill a")],
          answers=["a: was asked", "a: is killed with every process below"]),
    Story("what the user stopped is not tried again", "a=endless b", "a starts|a interrupted|b starts|b completed",
          retries(3, retry_on=("failed", "error")), requests=[(2, "stop a")]),
    Story("a job that fails when it is stopped is not tried again", "a=failed:5! b",
          "a starts|a failed|b starts|b completed", retries(3), requests=[(2, "stop a")]),
    Story("what the user stopped is not a failure", "a=endless b", "a starts|a interrupted|b starts|b completed",
          RunOptions(fail_fast=True), requests=[(2, "stop a")]),
    Story("an adopted job that is stopped is not started again", "a b",
          "a starts @0|a interrupted|b starts @2|b completed", adopted={"a": "endless"}, requests=[(2, "stop a")]),
    Story("only a job that runs can be stopped", "a=completed:3 b c", "a starts|a completed|b starts|b completed|"
          "c starts|c completed", requests=[(1, "stop b"), (1.1, "stop x"), (3.5, "stop a")],
          answers=["!b: is not running (pending); skip keeps it", "!x: no such job", "!a: is not running (completed)"]),
    Story("one name that means nothing refuses the whole request", "a=completed:3 b", "a starts|a completed|"
          "b starts|b completed", requests=[(1, "stop a x")], answers=["!x: no such job"]),
    Story("a retry is called off", "a=failed/completed b=completed:3", "a starts|a failed, again|b starts|a failed|"
          "b completed", retries(1), requests=[(2, "stop a")], answers=["a: is not tried again"]),
    Story("a retry is skipped", "a=failed/completed b=completed:3", "a starts|a failed, again|b starts|a failed|"
          "b completed", retries(1), requests=[(2, "skip a")], answers=["a: is not tried again"]),
    Story("a pending job is skipped", "a=completed:3 b c",
          "a starts @0|b is skipped by request|a completed|c starts @3|c completed|b is left", requests=[(1, "skip b")],
          answers=["b: is skipped; a resumed batch runs it"],
          notices=["By request: b is skipped; a resumed batch runs it."]),
    Story("a retry and pending jobs are skipped together", "a=failed/completed b=completed:5 c d",
          "a starts|a failed, again|b starts|a failed|c is skipped by request|b completed|d starts|d completed|"
          "c is left", retries(1), requests=[(2, "skip a c")], answers=["a: is not tried again"]),
    Story("the next job is skipped although it waits for a slot already", "a=completed:3 b",
          "a starts|b is skipped by request|a completed|b is left", requests=[(2, "skip b")]),
    Story("all that is pending is skipped while nothing runs", "a b", "a waits: busy|a is skipped by request|"
          "b is skipped by request|a is left|b is left", reasons={"a": [(0, 99, "busy")]},
          requests=[(1, "skip a b")]),
    Story("a job that does not wait cannot be skipped", "a=completed:3 b=completed:9 c", "b completed|a starts|"
          "a completed|c starts|c completed", kept={"b": COMPLETED},
          requests=[(1, "skip a"), (1.1, "skip b"), (1.2, "skip c x")],
          answers=["!a: runs already; stop ends it", "!b: is not to be started (completed)", "!x: no such job"]),
    Story("a job is moved to the front", "a=completed:3 b c d",
          "a starts|a completed|d starts|d completed|b starts|b completed|c starts|c completed",
          requests=[(1, "first d")], answers=["d: will be started before all other pending jobs"]),
    Story("jobs are moved in the order that is given", "a=completed:3 b c d",
          "a starts|a completed|d starts|d completed|c starts|c completed|b starts|b completed",
          requests=[(1, "first d c")]),
    Story("a job is moved to the end", "a=completed:3 b c d",
          "a starts|a completed|c starts|c completed|d starts|d completed|b starts|b completed",
          requests=[(1, "last b")], answers=["b: will be started after all other pending jobs"]),
    Story("a job can be moved twice", "a=completed:3 b c", "a starts|a completed|b starts|b completed|c starts|"
          "c completed", requests=[(1, "last b"), (2, "first b")]),
    Story("a job that this run leaves out cannot be moved", "a=completed:3 b", "a starts|a completed|b is left",
          kept={"b": "pending"}, requests=[(1, "first b")], answers=["!b: is not to be started (pending)"]),
    Story("a job that was skipped cannot be moved", "a=completed:3 b", "a starts|b is skipped by request|a completed|"
          "b is left", requests=[(1, "skip b"), (2, "first b")], answers=["b: is skipped", "!b: is not to be started"]),
    Story("jobs are added to a running batch", "a=completed:3 b",
          "a starts|c is added|d is added|a completed|b starts|b completed|c starts|c completed|d starts|d completed",
          requests=[(1, "add c d")], answers=["added c, d"]),
    Story("five names are listed in full", "a=completed:3", "a starts|c is added|d is added|e is added|f is added|"
          "g is added|a completed|c starts|c completed|d starts|d completed|e starts|e completed|f starts|f completed|"
          "g starts|g completed", requests=[(1, "add c d e f g")], answers=["added c, d, e, f, g"],
          notices=["By request: added c, d, e, f, g."]),
    Story("jobs are added before the others", "a=completed:3 b",
          "a starts|c is added|d is added|a completed|c starts|c completed|d starts|d completed|b starts|b completed",
          requests=[(1, "add-first c d")]),
    Story("an added job takes a free slot at once", "a=completed:3", "a starts @0|c is added|c starts @1|c completed|"
          "a completed", slots=2, requests=[(1, "add c")]),
    Story("a name is added once", "a=completed:3", "a starts|a completed", requests=[(1, "add A")],
          answers=["!A: there is a job of that name already"]),
    Story("what is added to a batch that stops is left", "a=endless!", "a starts|c is added|a interrupted|c is left",
          signals=[(1, INT), (9, INT)], requests=[(3, "add c")], answers=["added c; not started now: interrupted"]),
    Story("an added job can be moved, skipped and stopped", "a=completed:3 b c=endless",
          "a starts|d is added|e is added|d is skipped by request|a completed|e starts|e completed|b starts|"
          "b completed|c starts|c interrupted|d is left",
          requests=[(1, "add d e"), (1.5, "first e"), (2, "skip d"), (9, "stop c")]),
    Story("a source that waits lets an added job pass", "", "a is added|a starts|c is added|c starts|c completed|"
          "a completed|b is added|b starts|b completed", steps="a=completed:5 b<a", reason="", slots=2,
          requests=[(1, "add c")]),
]  # fmt: skip


class Batch:
    """A story that can be run: what the recording observer sees, and the state that the events make."""

    def __init__(self, story: Story, *others: Observer, root: Path = NOWHERE) -> None:
        words = [word.partition("<")[0].partition("=") for word in f"{story.jobs} {story.steps or ''}".split()]
        behaviours = {name: behaviour.split("/") for name, _, behaviour in words if behaviour}
        jobs = tuple(job(word.partition("=")[0], root) for word in story.jobs.split())
        at = {moment: partial(self._send, number) for moment, number in story.signals}
        at |= {moment: partial(self._request, words) for moment, words in story.requests}
        self.clock = Clock(at)
        self.recorder, self.state, self.requests = Recorder(), BatchState(self.clock), FakeRequests()
        self._run = partial(
            loop.run,
            Plan("p", root, jobs, PlanKind("files"), "", options=story.options),
            FakeExecutor(behaviours, story.slots, self.clock, story.adopted, story.reasons),
            [self.recorder, self._apply, *others],
            kept={name: ended(name, status, root) for name, status in story.kept.items()},
            source=Steps(story.steps, story.reason, root) if story.steps is not None else None,
            requests=self.requests,
            clock=self.clock,
        )

    def run(self) -> Batch:
        with NoSignals(self.clock) as self._signals:
            self.clock.advance(0.0, [])  # what comes before the start
            self.records = self._run(signals=self._signals)
        return self

    def lines(self, *, times: bool) -> list[str]:
        return [line if times else re.sub(" @.*", "", line) for line in self.recorder.lines]

    def _send(self, number: int) -> None:
        self._signals.note(number)

    def _request(self, words: str) -> None:
        self.requests.put(request(words))

    def _apply(self, event: Event) -> None:
        self.state.apply(event)
        assert 0 <= self.state.ended <= self.state.total


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.about.replace(" ", "_"))
def test_story(story: Story) -> None:
    batch = Batch(story).run()
    assert batch.lines(times="@" in story.expected) == (story.expected.split("|") if story.expected else [])
    assert (batch.recorder.stopped or "").startswith(story.stopped or "")
    if story.notices:
        assert len(batch.recorder.notices) == len(story.notices)
        for text, beginning in zip(batch.recorder.notices, story.notices, strict=True):
            assert text.startswith(beginning)
    for answer, part in zip(batch.requests.answers, story.answers, strict=bool(story.answers)):
        assert answer.refused == part.startswith("!") and any(part.lstrip("!") in line for line in answer.lines)
    assert len(batch.requests.answers) == len(story.requests)
    assert list(batch.state.records.values()) == batch.records and not batch.state.since


def test_the_stories_are_many_and_quick() -> None:
    began = time.process_time()
    for story in STORIES:
        Batch(story).run()
    assert len(STORIES) >= 50 and time.process_time() - began < 2


def test_records_come_in_the_order_of_the_plan_then_of_the_source() -> None:
    batch = Batch(Story("", "a=completed:9 b c", "", steps="c b a d", slots=4)).run()
    assert [record.job.name for record in batch.records] == ["a", "b", "c", "d"]
