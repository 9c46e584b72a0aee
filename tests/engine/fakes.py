"""A clock, an executor, a source of jobs and observers for stories of the engine. Nothing here sleeps or starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from runner.core.causes import GPU_OOM
from runner.core.job import Attempt, Job
from runner.core.requests import AddJobs, Answer, Incoming, MoveJobs, Request, SkipJobs, StopJobs
from runner.core.result import GPU_JOBS_AT_ONCE, Result
from runner.core.state import (
    COMPLETED,
    ERROR,
    FAILED,
    INTERRUPTED,
    PENDING,
    PRUNED,
    Finished,
    Outcome,
    Record,
    Running,
)
from runner.engine.events import (
    BatchEnded,
    Event,
    JobAdded,
    JobEnded,
    JobSkipped,
    JobStarted,
    JobWaiting,
    Notice,
)
from runner.engine.protocols import How, Lease, Wait

FOREVER = float("inf")
NOWHERE = Path("/nonexistent")


def job(name: str, root: Path = NOWHERE) -> Job:
    return Job(name, ("true",), root / name, cwd=root)


def ended(name: str, status: str, root: Path = NOWHERE) -> Record:
    """The record of a job that ended earlier, or is pending."""
    if status == PENDING:
        return Record(job(name, root))
    return Record(job(name, root), Finished(None, "", 1.0, Outcome(status)), cached=True)


class Clock:
    """The time of a story, in seconds. `at` are things that happen at a moment."""

    def __init__(self, at: Mapping[float, Callable[[], None]]) -> None:
        self.now = 0.0
        self._at = sorted(at.items())

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float, moments: Sequence[float]) -> None:
        """Move forward by so many seconds, or to the first moment before."""
        goal = self.now + seconds
        self.now = min([goal, *(moment for moment in (*moments, *(it for it, _ in self._at)) if self.now < moment)])
        while self._at and self._at[0][0] <= self.now:
            self._at.pop(0)[1]()


class FakeHandle:
    """A job that ends by itself at a moment, or when it is stopped."""

    def __init__(self, job: Job, number: int, behaviour: str, clock: Clock) -> None:
        self.job = job
        self.attempt = Attempt(job, number, job.argv, {})
        self.pid: int | None = None if behaviour == "unstarted" else number
        self.started_at: str | None = f"{clock():g}"
        word, _, seconds = behaviour.removesuffix("!").partition(":")
        self._stubborn = behaviour.endswith("!")
        self._status = word
        self.ends_at = FOREVER if word == "endless" else clock() + float(seconds or 1)
        self._clock = clock

    def done(self) -> bool:
        return self._clock() >= self.ends_at

    def record(self) -> Record | Wait:
        if self._status == "unstarted":
            return Wait("too many processes")
        status, _, how = self._status.partition("~")
        cause, _, signature = how.partition("~")
        adjusted = {key: list(pair) for key, pair in self.job.adjusted.items()}
        result = Result({"failure_signature": signature or None, "adjusted": adjusted})
        state = Finished("", "", 1.0, Outcome(status, cause=cause or None, cause_sure=True), result)
        if status == "packed":
            result = Result({"cause": GPU_OOM, GPU_JOBS_AT_ONCE: 2})
            state = Finished("", "", 1.0, Outcome(FAILED, 1, cause=GPU_OOM, cause_sure=True), result)
        return Record(self.job, state, self.attempt.number)

    def stop(self, how: How) -> None:
        if how == "kill" or not self._stubborn:
            self._status = PRUNED if how == "prune" else INTERRUPTED
            self.ends_at = self._clock()  # noted at the next look


class FakeExecutor:
    """Jobs do what a word stands for, one word an attempt: a status, with `:3` after three seconds instead of one.

    `failed~code~x` has a cause and a signature. `endless` runs until it is stopped; with a `!` a job ends only by
    itself, or when it is killed. `refused` cannot be started, `found` has completed already, `broken` is a fault of
    the executor. There is no room for the start of one that is `full`, or for that of one that is `unstarted`,
    which turns out after a second. `packed` ran out of the memory of a GPU that it shared.
    """

    def __init__(
        self,
        behaviours: Mapping[str, Sequence[str]],
        slots: int,
        clock: Clock,
        adopted: Mapping[str, str],
        reasons: Mapping[str, Sequence[tuple[float, float, str]]],
    ) -> None:
        self._behaviours = {name: list(words) for name, words in behaviours.items()}
        self._slots = slots
        self._clock = clock
        self._adopted = adopted
        self._reasons = reasons
        self._numbers: dict[str, int] = {}
        self._running: list[FakeHandle] = []

    def offer(self, job: Job) -> Lease | Wait:
        for begin, end, reason in self._reasons.get(job.name, ()):
            if begin <= self._clock() < end:
                return Wait(reason)
        busy = sum(not handle.done() for handle in self._running)
        return Lease() if busy < self._slots else Wait()

    def submit(self, job: Job, lease: Lease) -> FakeHandle | Record | Wait:
        words = self._behaviours.get(job.name) or [COMPLETED]
        word = words.pop(0)
        match word:
            case "refused":
                return Record(job, Finished(None, "", 0.0, Outcome(ERROR)))
            case "found":
                return Record(job, Finished(None, "", 1.0, Outcome(COMPLETED)), cached=True)
            case "full":
                return Wait("too many processes")
            case "broken":
                raise ZeroDivisionError("ours")
        return self._run(job, word)

    def adopt(self, job: Job) -> FakeHandle | None:
        return self._run(job, self._adopted[job.name]) if job.name in self._adopted else None

    def wait(self, seconds: float, wake: int) -> None:
        self._clock.advance(seconds, [handle.ends_at for handle in self._running])
        self._running = [handle for handle in self._running if not handle.done()]

    def _run(self, job: Job, word: str) -> FakeHandle:
        self._numbers[job.name] = self._numbers.get(job.name, 0) + 1
        handle = FakeHandle(job, self._numbers[job.name], word, self._clock)
        self._running.append(handle)
        return handle


class Steps:
    """A source of jobs: `b<a` is job b, once a has ended; `b<5` is job b, after five refusals."""

    def __init__(self, steps: str, reason: str, root: Path) -> None:
        self._steps = steps.split()
        self._reason = reason
        self._root = root
        self._refusals = 0

    def next(self, records: Mapping[str, Record]) -> Job | Wait | None:
        if not self._steps:
            return None
        word, _, after = self._steps[0].partition("<")
        name = word.partition("=")[0]
        if after.isdecimal() and self._refusals < int(after):
            self._refusals += 1
            return Wait(self._reason)
        if after and not after.isdecimal() and not isinstance(records[after].state, Finished):
            return Wait(self._reason)
        self._steps.pop(0)
        return job(name, self._root)


class FakeRequests:
    """Requests that a story puts here, and the answers to them."""

    def __init__(self) -> None:
        self._waiting: list[Incoming] = []
        self.answers: list[Answer] = []

    def put(self, request: Request) -> None:
        self._waiting.append(Incoming(str(len(self._waiting)), request))

    def take(self) -> list[Incoming]:
        taken, self._waiting = self._waiting, []
        return taken

    def answer(self, incoming: Incoming, answer: Answer) -> None:
        self.answers.append(answer)


def request(words: str, root: Path = NOWHERE) -> Request:
    """`stop a b`, `kill a`, `skip a`, `first a`, `last a`, `add c`, `add-first c`"""
    word, *names = words.split()
    match word:
        case "stop" | "kill":
            return StopJobs(tuple(names), kill=word == "kill")
        case "skip":
            return SkipJobs(tuple(names))
        case "first" | "last":
            return MoveJobs(tuple(names), first=word == "first")
    return AddJobs(tuple(job(name, root) for name in names), first=word == "add-first")


class Recorder:
    """Writes down what it is sent, in a few words an event."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notices: list[str] = []
        self.stopped: str | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case JobStarted(record):
                assert isinstance(record.state, Running)
                self.lines.append(f"{record.job.name} starts @{record.state.started_at}")
            case JobEnded(record, again):
                self.lines.append(f"{record.job.name} {record.status}{', again' if again else ''}")
            case JobWaiting(job, reason):
                self.lines.append(f"{job.name} waits: {reason}" if reason else f"{job.name} waits for a slot")
            case JobSkipped(job, reason):
                self.lines.append(f"{job.name} is {reason}")
            case JobAdded(job):
                self.lines.append(f"{job.name} is added")
            case Notice(text):
                self.notices.append(text)
            case BatchEnded(records, stopped):
                self.stopped = stopped
                self.lines += [f"{r.job.name} is left" for r in records if not isinstance(r.state, Finished)]


class Failing:
    """An observer that raises at one kind of event."""

    def __init__(self, kind: type[Event]) -> None:
        self.kind = kind
        self.failed = False
        self.calls_after = 0

    def __call__(self, event: Event) -> None:
        self.calls_after += self.failed
        if isinstance(event, self.kind):
            self.failed = True
            raise RuntimeError("no space left")
