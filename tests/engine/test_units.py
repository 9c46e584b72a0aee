"""Parts of the engine, each alone: the queue, how far a job is, what a user requests, adjusted sizes,
the dispatcher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pytest

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.options import RunOptions
from runner.core.plan_kind import PlanKind
from runner.core.result import Result
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Outcome, Record
from runner.engine import loop, phases, policy
from runner.engine.adjustments import Adjustments, is_alone
from runner.engine.events import Dispatcher, Event, Notice, Tick
from runner.engine.pace import Pace
from runner.engine.progress import LARGEST, Follower, Progress, _first, _without_prefix
from runner.engine.protocols import FixedPlan, Lease, Promoted, Wait
from runner.engine.queue import Queue
from runner.processes.signals import NoSignals
from tests.engine.fakes import NOWHERE, Clock, FakeExecutor, FakeHandle, Recorder, job


class Moment:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# The queue


def queue(*names: str, skipped: tuple[str, ...] = ()) -> tuple[Queue, Moment]:
    clock = Moment()
    return Queue(FixedPlan([job(name) for name in names]), skipped, clock), clock


def drawn(jobs: Queue, most: int = 9) -> str:
    found = [jobs.next({}) for _ in range(most)]
    return "".join(one.name if isinstance(one, Job) else "." for one in found)


def test_what_is_put_back_comes_first_and_what_is_put_last_comes_last() -> None:
    jobs, clock = queue("a", "b", "c", "d", skipped=("b",))
    jobs.put_last(job("z"))
    jobs.put_back(job("y"))
    jobs.put_back(job("x"))
    assert not jobs.empty and jobs.holds("z") and jobs.holds("x") and not jobs.holds("a")
    jobs.skip("d")
    assert drawn(jobs) == "xyacz...." and jobs.empty
    jobs.put_later(job("k"), 2.0)
    jobs.put_later(job("l"), 1.0)
    jobs.put_later(job("m"), 1.0)
    assert jobs.holds("k") and not jobs.empty and drawn(jobs, 1) == "."
    clock.now = 1.0
    assert drawn(jobs, 3) == "lm."
    clock.now = 2.5
    assert drawn(jobs, 2) == "k." and jobs.empty


def test_a_job_that_was_withdrawn_is_nowhere() -> None:
    jobs, clock = queue("a", "b")
    for put in (jobs.put_back, jobs.put_last, lambda one: jobs.put_later(one, 1.0)):
        put(job("x"))
        assert jobs.holds("x")
        jobs.withdraw("x")
        assert not jobs.holds("x")
    jobs.withdraw("b")
    clock.now = 9.0
    assert drawn(jobs) == "a........"
    jobs.put_last(job("b"))
    assert drawn(jobs, 1) == "b"


def test_while_the_source_waits_the_last_ones_run_and_no_job_comes_twice() -> None:
    class Source:
        def __init__(self, *found: Job | Wait | None) -> None:
            self.found = list(found)

        def next(self, records: object) -> Job | Wait | None:
            return self.found.pop(0)

    jobs = Queue(Source(Wait("later"), Wait("later"), job("a"), job("a")), (), Moment())
    jobs.put_last(job("z"))
    assert jobs.next({}) == job("z") and jobs.next({}) == Wait("later") and jobs.next({}) == job("a")
    with pytest.raises(ValueError, match="returned a twice"):
        jobs.next({})


def test_a_source_may_return_a_pruned_job_again_once_it_is_promoted_also_one_that_was_kept() -> None:
    class Source:
        def __init__(self, *found: Job | Promoted | None) -> None:
            self.found = list(found)

        def next(self, records: object) -> Job | Promoted | None:
            return self.found.pop(0)

    jobs = Queue(Source(job("a"), job("kept"), Promoted(job("a")), Promoted(job("kept")), None), ("kept",), Moment())
    assert [jobs.next({}) for _ in range(4)] == [job("a"), job("a"), job("kept"), None]
    assert jobs.empty


class Pruning:
    """Two jobs one after another. It prunes the first one at once, and promotes it after the second."""

    def __init__(self) -> None:
        self.found: list[Job | Promoted] = [job("a"), job("b"), Promoted(job("a"))]
        self.asked: list[str] = []

    def next(self, records: Mapping[str, Record]) -> Job | Promoted | None:
        return self.found.pop(0) if self.found else None

    def prunes(self, one: Job) -> str:
        self.asked.append(one.name)
        return "it is not among the best" if self.asked.count("a") == 1 and one.name == "a" else ""


def test_a_pruned_job_is_a_success_is_stopped_once_and_runs_again_when_it_is_promoted() -> None:
    plan = Plan("p", NOWHERE, (job("a"), job("b")), PlanKind("search"), "", options=RunOptions(fail_fast=True))
    clock, recorder = Clock({}), Recorder()
    executor = FakeExecutor({"a": ["endless", COMPLETED]}, 1, clock, {}, {})
    with NoSignals(clock) as signals:
        records = loop.run(plan, executor, [recorder], signals, source=Pruning(), clock=clock)
    assert [line.split(" @")[0] for line in recorder.lines] == [
        "a starts", "a pruned", "b starts", "b completed", "a starts", "a completed"
    ]  # fmt: skip
    assert recorder.notices == ["a is pruned: it is not among the best."] and recorder.stopped is None
    assert [record.status for record in records] == [COMPLETED, COMPLETED]


@pytest.mark.parametrize("leaves", [(), (15,)])
def test_an_adopted_job_that_was_interrupted_lost_its_engine_unless_it_needs_none(leaves: tuple[int, ...]) -> None:
    """On a cluster it goes on without an engine: it ends so because somebody stopped it."""
    plan, clock, recorder = Plan("p", NOWHERE, (job("a"),), PlanKind("files"), ""), Clock({}), Recorder()
    executor = FakeExecutor({}, 1, clock, {"a": INTERRUPTED}, {})
    setattr(executor, "leaves", leaves)  # noqa: B010 - an executor may have it
    with NoSignals(clock) as signals:
        (record,) = loop.run(plan, executor, [recorder], signals, clock=clock)
    assert record.status == (INTERRUPTED if leaves else COMPLETED)


class Counting(FakeExecutor):
    """Notes how many of the jobs that it started something refers to."""

    def __init__(self, clock: Clock) -> None:
        super().__init__({}, 1, clock, {}, {})
        self.most = 0
        self._known: WeakSet[FakeHandle] = WeakSet()

    def submit(self, job: Job, lease: Lease) -> FakeHandle | Record | Wait:
        handle = super().submit(job, lease)
        if isinstance(handle, FakeHandle):
            self._known.add(handle)
        self.most = max(self.most, len(self._known))
        return handle


def test_a_job_that_has_ended_is_let_go_with_what_it_refers_to() -> None:
    """A warm one refers to the process that it is a fork of."""
    jobs = tuple(job(name) for name in "abcdef")
    plan, clock = Plan("p", NOWHERE, jobs, PlanKind("files"), ""), Clock({})
    executor = Counting(clock)
    with NoSignals(clock) as signals:
        loop.run(plan, executor, [], signals, clock=clock)
    assert executor.most <= 2


# How far a job is


def test_progress_is_a_fraction_a_rest_and_whether_it_is_at_its_end() -> None:
    half = Progress(5, 10, speed=2.0)
    assert (half.fraction, half.remaining, half.at_end) == (0.5, 2.5, False)
    done = Progress(10, 10, speed=2.0)
    assert (done.fraction, done.remaining, done.at_end) == (1.0, None, True)
    assert Progress(12, 10).fraction == 1.0 and Progress(-3, 10).fraction == 0.0 and Progress(12, 10).at_end
    for one in (Progress(), Progress(5), Progress(5, 0), Progress(None, 10), Progress(5, -1)):
        assert one.fraction is None and one.remaining is None
    assert not Progress(5, 0).at_end and Progress(5, 10).remaining is None and Progress(5, -1).at_end
    assert Progress().finite and Progress(loss=1.0, val_loss=2.0).finite
    assert not Progress(loss=float("nan")).finite and not Progress(loss=1.0, val_loss=float("inf")).finite


class Followed:
    """A job whose files grow."""

    def __init__(self, root: Path, **config: Any) -> None:
        self.clock = Moment()
        one = replace(job("a", root), config=config)
        one.out_dir.mkdir()
        self.folder = one.out_dir
        self.follower = Follower(one, self.clock)

    def after(self, *rows: object, name: str = "metrics.jsonl", said: str = "", moment: float = 0.0) -> Progress:
        self.clock.now = moment
        with (self.folder / name).open("a") as file:
            file.writelines((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        with (self.folder / "combined.log").open("a") as file:
            file.write(said)
        self.lines = self.follower.advance()
        return self.follower.progress


def test_rows_move_a_job_and_keep_what_they_do_not_say(tmp_path: Path) -> None:
    one = Followed(tmp_path, max_iters=100)
    assert one.after() == Progress(total=100)
    assert one.after({"iter": 10, "train/loss": 2.0, "val/loss": 3.0}, "torn", [1]) == Progress(10, 100, 2.0, 3.0)
    assert one.after({"iter": 20, "loss": 1.0, "max_iters": 200}, moment=5.0) == Progress(20, 200, 1.0, 3.0, 2.0)
    assert one.after({"val_loss": 2.5, "max_iters": LARGEST}) == Progress(20, 200, 1.0, 2.5, 2.0)
    assert (
        one.after({"max_iters": LARGEST - 1}).total == LARGEST - 1
        and one.after({"max_iters": "x"}).total == LARGEST - 1
    )
    assert one.after({"iter": 90, "loss": 9.0}, name="parsed_metrics.jsonl").iteration == 20  # its own count
    (tmp_path / "b").mkdir()
    parsed = Followed(tmp_path / "b", max_iters="x")
    assert parsed.after({"iter": 90, "loss": 9.0}, name="parsed_metrics.jsonl") == Progress(90, None, 9.0)


def test_the_phase_is_what_the_output_named_last(tmp_path: Path) -> None:
    one = Followed(tmp_path, max_iters=10)
    assert one.after(said="hello\n").phase == "starting"
    assert one.lines == ["hello"]
    assert one.after(said="2026-01-01T00:00:00.000 [stdout] compiling the model\n").phase == "compiling"
    assert one.lines == ["compiling the model"]
    assert one.after({"iter": 1, "loss": 1.0}).phase == ""
    assert one.after(said="[stderr] evaluating\n").phase == "evaluating" and one.after().phase == "evaluating"
    assert one.after({"iter": 2, "loss": 1.0}, said="running the final validation\n").phase == "evaluating"
    assert one.after({"iter": 3, "loss": 1.0}).phase == ""
    assert one.after({"iter": 10, "loss": 1.0}).phase == "evaluating"
    (tmp_path / "c").mkdir()
    compiled = Followed(tmp_path / "c", compile=True)
    assert compiled.after().phase == "" and compiled.after(said="x\n").phase == "compiling"
    assert compiled.after({"iter": 0, "loss": 1.0}).phase == "compiling" and compiled.after({"iter": 1}).phase == ""
    (tmp_path / "d").mkdir()
    unknown = Followed(tmp_path / "d")
    assert unknown.after(said="x\n").phase == ""
    (tmp_path / "e").mkdir()
    epochs = Followed(tmp_path / "e", max_iters=3)
    assert epochs.after({"iter": 3, "epoch": 3}).phase == ""
    assert epochs.after({"iter": 3, "epoch": 3, "loss": 1.0}).phase == "evaluating"


def test_of_a_log_that_grew_by_much_the_end_is_read(tmp_path: Path) -> None:
    one = Followed(tmp_path)
    one.after(said="x" * 99 + "\n")
    one.after(said=("y" * 99 + "\n") * 700)
    assert 600 < len(one.lines) <= (1 << 16) // 100 + 1


def test_lines_and_values_are_read_without_what_is_before_them() -> None:
    stamp = "2026-01-01T00:00:00.000 "
    assert _without_prefix(f"{stamp}[stdout] a [stderr] b") == "a [stderr] b" and _without_prefix("[stderr] x") == "x"
    assert _without_prefix("word [stdout] x") == "word [stdout] x" and _without_prefix("x") == "x"
    assert _first({"b": 2.0, "c": 3.0}, "a", "b", "c") == 2.0 and _first({}, "a") is None


def pace(*seen: tuple[float, int]) -> Pace:
    made = Pace()
    for one in seen:
        made.add(*one)
    return made


def test_a_speed_is_taken_over_a_window() -> None:
    assert pace((0, 0), (0.5, 1)).speed is None and pace((0, 0), (0.6, 3)).speed == pytest.approx(5.0)
    assert pace((0, 0), (10, 1), (11, 2)).speed == pytest.approx(2 / 11)
    assert pace((0, 0), (10, 1), (11, 2), (12, 4)).speed == pytest.approx(1.5)
    assert pace((0, 5), (10, 5), (20, 4), (30, 6)).speed == pytest.approx(1 / 30)
    close = pace((0, 0), (10, 10), (10.3, 11), (10.59, 12), (20, 100))
    assert len(close._seen) == 4 and [at for at, _ in close._seen] == [0, 10, 10.59, 20]
    assert len(pace((0, 0), (10, 10), (10.6, 11), (11.2, 12))._seen) == 4
    old = pace((0, 0), (10, 10), (20, 20), (69.9, 30), (70, 40))
    assert old._seen[0] == (10, 10) and old.speed == pytest.approx(30 / 60)
    assert pace((0, 0), (10, 10), (20, 20), (69.9, 40))._seen[0] == (0, 0)


@pytest.mark.parametrize(
    ("line", "before", "phase"),
    [
        ("compiling", "", "compiling"), ("evaluating", "compiling", "evaluating"), ("step 5", "evaluating", ""),
        ("evaluation took 3 s", "evaluating", ""), ("nothing", "compiling", "compiling"), ("loss: 3.0", "x", ""),
    ],
)  # fmt: skip
def test_a_line_begins_or_ends_a_phase(line: str, before: str, phase: str) -> None:
    assert phases.said([line], before) == phase and phases.said([], before) == before


# What follows from an end


def test_adjusted_sizes_are_those_of_the_smallest_job_of_a_kind() -> None:
    config = {"batch_size": 8, "gradient_accumulation_steps": 1}
    one, two = (replace(job(name), config=config) for name in "ab")
    options = RunOptions(oom_retry=2)
    changed: list[tuple[int, int]] = []

    def change(of: Job, now: tuple[int, int]) -> Job:
        if of.name == "z":
            raise UserError("no room")
        changed.append(now)
        return replace(of, adjusted={"batch_size": (8, now[0])})

    def failed(of: Job, cause: str = "gpu_oom", sure: bool = True, **entries: Any) -> Record:
        return Record(of, Finished(None, "", 1.0, Outcome("failed", 1, cause=cause, cause_sure=sure), Result(entries)))

    sizes = Adjustments(options, change)
    assert sizes.start(one) == (one, "")
    for other in (failed(one, "host_oom"), failed(one, sure=False), failed(job("x")), Record(one)):
        assert sizes.after(other) is None
    first = sizes.after(failed(one))
    assert first is not None and first.endswith(" after gpu_oom, try 1 of 2")
    assert sizes.start(two)[0].adjusted == {"batch_size": (8, 4)} and changed == [(4, 2)]
    assert sizes.start(job("x")) == (job("x"), "")
    second = sizes.after(failed(one, adjusted={"batch_size": [8, 4]}))
    assert second is not None and "try 2 of 2" in second and sizes.start(two)[0].adjusted == {"batch_size": (8, 2)}
    assert sizes.after(failed(one, adjusted={"batch_size": [8, 2]})) is None
    assert sizes.after(failed(two, adjusted={"batch_size": [8, 1]})) is None
    refused = replace(job("z"), config=config)
    assert sizes.start(refused) == (refused, "is started as planned: no room") and sizes.start(refused) == (refused, "")
    assert sizes.after(failed(refused)) is None
    shared = Adjustments(RunOptions(oom_retry=1, max_workers=2), change)
    assert shared.after(failed(one)) is None and shared.after(failed(one, gpu_jobs_at_once=1)) is not None
    assert Adjustments(options, change, [(one, (2, 4))]).start(two)[0].adjusted == {"batch_size": (8, 2)}
    assert Adjustments(RunOptions(), change, [(one, (2, 4))]).start(two) == (two, "")
    alone = [
        RunOptions(),
        RunOptions(max_workers=2),
        RunOptions(max_workers=2, gpus="u"),
        RunOptions(max_workers=2, gpus="u", jobs_per_gpu=2),
    ]
    assert [is_alone(one) for one in alone] == [True, False, True, False]


def test_delays_double_up_to_ten_minutes() -> None:
    options = RunOptions(retries=9, retry_delay=10.0)
    assert [policy.retry_delay(options, tries) for tries in (1, 2, 3, 7, 100)] == [10.0, 20.0, 40.0, 600.0, 600.0]
    foreign = Outcome("failed", 1, cause="gpu_oom_foreign", cause_sure=True)
    again = policy.after_others(options, foreign, 1)
    assert again is not None and (again.delay, again.counts) == (20.0, False)
    assert policy.after_others(options, foreign, 4) is not None and policy.after_others(options, foreign, 5) is None
    assert policy.after_others(RunOptions(), foreign, 0) is None
    assert policy.after_others(RunOptions(oom_retry=1), foreign, 0) is not None
    assert policy.after_others(options, replace(foreign, cause_sure=False), 0) is None


def call(*argv: str, **more: Any) -> tuple[str, ...]:
    return policy.call_of(replace(job("a", Path("/w")), argv=argv, **more))


def test_the_program_of_a_command_is_its_script_or_its_first_word_of_its_own() -> None:
    assert call("python", "-u", "t.py", "x") == ("python", "-u", "t.py") and call("x", "y") == ("x",)
    assert call("env", "A=1", "timeout", "5", "torchrun", "t.py") == ("env", "A=1", "timeout", "5", "torchrun", "t.py")
    assert call("python", "t.py", script=Path("/s.py")) == ("/s.py",) and call("python") == ("python",)
    assert policy._shape(replace(job("a", Path("/w")), argv=("t", "/w/a/x", "a", "--name=a", "c.py"),
    source_argument="c.py")) == (
        "t", "{out_dir}/x", "{out_dir}", "--n{out_dir}me={out_dir}", "{config}"
    )  # fmt: skip


def test_an_observer_that_fails_is_reported_to_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Event] = []

    def fails(event: Event) -> None:
        raise ValueError("odd")

    observers: list[Callable[[Event], None]] = [fails, seen.append, fails]
    dispatcher = Dispatcher(observers)
    dispatcher.send(Tick())
    text = "The observer fails failed and is not used any more: ValueError: odd"
    assert seen == [Tick(), Notice(text), Notice(text)]
    dispatcher.send(Tick())
    assert len(seen) == 4 and capsys.readouterr().err == ""
    Dispatcher([fails]).send(Tick())
    assert capsys.readouterr().err == text + "\n"
