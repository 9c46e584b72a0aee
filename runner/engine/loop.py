"""The only loop over jobs: draws them from a source, gives them to an executor, sends events. Writes no file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from runner.core.causes import HOST_OOM
from runner.core.job import Job, Plan
from runner.core.state import INTERRUPTED, SUCCESSES, Finished, Pending, Record, Running
from runner.core.text import count, duration
from runner.engine.adjustments import Adjustments
from runner.engine.breaker import LEAST_JOBS, Breaker
from runner.engine.events import (
    BatchEnded,
    BatchStarted,
    Dispatcher,
    JobAdded,
    JobEnded,
    JobProgressed,
    JobStarted,
    JobWaiting,
    Notice,
    Tick,
)
from runner.engine.policy import Again, after_others, delay_after, fails_for_all, uncounted
from runner.engine.progress import Follower
from runner.engine.protocols import (
    Executor,
    FixedPlan,
    Handle,
    How,
    JobSource,
    Observer,
    PruningSource,
    Requests,
    StopRequests,
    Wait,
)
from runner.engine.queue import Queue
from runner.engine.requested import Requested

TICK = 0.25  # seconds between two looks at what the running jobs have written
LOOKAHEAD = 100  # jobs of a plan that may overtake one that waits for more than they need
MOST_NAMED = 20  # jobs that run already and are named one by one
START_PAUSE = 1.0  # seconds until the next start, after one for which the system had no room


def run(
    plan: Plan,
    executor: Executor,
    observers: Sequence[Observer],
    signals: StopRequests,
    kept: Mapping[str, Record] | None = None,
    *,
    source: JobSource | None = None,
    requests: Requests | None = None,
    clock: Callable[[], float] = time.monotonic,
    adjustments: Adjustments | None = None,
) -> list[Record]:
    """Run the jobs of `source`, which are those of `plan` by default; a job's failure is data.

    `kept` are the records of jobs that are not to be run. Jobs that are running already, under supervisors that
    outlived their engine, are adopted. A first signal asks the running jobs to save and leave, a second kills them;
    SIGUSR1 lets the running jobs finish; jobs that were not started stay pending. Returns a record for each job: those
    of the plan in its order, then those that the source or a request added.
    """
    jobs = source or FixedPlan(plan.jobs)
    batch = _Batch(plan, executor, Dispatcher(observers), kept or {}, jobs, clock, adjustments)
    batch.announce()
    try:
        batch.run(signals, requests)
    except Exception as error:  # a fault of ours: the supervisors stop their jobs when we are gone; keep what is known
        batch.stop_starting(f"the runner itself failed ({type(error).__name__}: {error})")
        raise
    finally:
        batch.close()
    return list(batch.records.values())


class _Batch:
    """What waits, what is running, and what is known."""

    def __init__(
        self,
        plan: Plan,
        executor: Executor,
        dispatcher: Dispatcher,
        kept: Mapping[str, Record],
        source: JobSource,
        clock: Callable[[], float],
        adjustments: Adjustments | None = None,
    ) -> None:
        self.records = {job.name: kept.get(job.name, Record(job)) for job in plan.jobs}
        self._plan = plan
        self._options = plan.options
        self._executor = executor
        self._send = dispatcher.send
        self._kept = kept
        self._clock = clock
        self._queue = Queue(source, kept, clock)
        self._pruner = source if isinstance(source, PruningSource) else None
        self._pruned: set[Handle] = set()
        self._lookahead = LOOKAHEAD if isinstance(source, FixedPlan) else 0  # another source is asked for the next only
        self._running: dict[Handle, Follower] = {}
        self._requested = Requested(plan.options, self._queue, self.records, kept, self._running, self._send)
        self._stopped: str | None = None  # why no further job is started
        self._waited = False  # because a job had waited for as long as it may
        self._adjustments = adjustments
        self._tick = getattr(executor, "tick", TICK)
        self._look = getattr(executor, "look", TICK)
        self._leaves = frozenset(getattr(executor, "leaves", ()))  # signals after which jobs run on without us
        self._alone: set[str] = set()  # names of jobs that run while no other does
        self._because_of_others: dict[str, int] = {}  # name -> failures that another process caused
        self._tries: dict[str, int] = {}
        self._failures = 0
        several = len(plan.jobs) >= LEAST_JOBS or not self._lookahead
        self._breaker = Breaker(plan.options.max_same_failures if several else 0)
        self._signals_obeyed = 0
        self._announced: set[Handle] = set()
        self._late: list[JobEnded] = []
        self._reasons: dict[str, str] = {}  # why a job waits, as it was announced; "" is the source's own reason
        self._next_look = 0.0
        self._next_start = 0.0

    def announce(self) -> None:
        """Send what is known before anything runs."""
        self._send(BatchStarted(self._plan, self._kept))
        for record in list(self.records.values()):
            if isinstance(record.state, Finished):
                self._send(JobEnded(record))

    def close(self) -> None:
        self._send_late()
        self._send(BatchEnded(list(self.records.values()), self._stopped, self._waited))

    def run(self, signals: StopRequests, requests: Requests | None) -> None:
        """Until nothing is running and nothing is to be started."""
        self._adopt_running()
        self._obey(signals)  # one that came while all this was prepared: nothing is started then
        self._start_ready()
        while self._running or not (self._stopped or self._queue.empty):
            self._executor.wait(self._tick, signals.fileno())
            signals.drain()
            self._obey(signals)
            self._carry_out(requests)
            self._collect()
            self._start_ready()
            self._send_late()

    def _send_late(self) -> None:
        """Send which jobs completed, on which nothing depends: the next one has started meanwhile."""
        while self._late:
            self._send(self._late.pop(0))

    def stop_starting(self, reason: str) -> None:
        """Let no further job start; the first reason counts."""
        if not self._stopped:
            self._stopped = reason
            names = ", ".join(handle.job.name for handle in self._running)
            waiting = f" Waiting for {names}." if names else ""
            self._send(Notice(f"No further job is started: {reason}.{waiting}"))

    def _adopt_running(self) -> None:
        found: list[Handle] = []
        for job in self._plan.jobs:
            if job.name not in self._kept and (handle := self._executor.adopt(job)) is not None:
                self._queue.skip(job.name)
                self._running[handle] = Follower(job)
                found.append(handle)
        for handle in found if len(found) <= MOST_NAMED else ():
            pid = f", pid {handle.pid}" if handle.pid else ""
            self._send(Notice(f"{handle.job.name} runs already{pid}; waiting for it."))
        if len(found) > MOST_NAMED:
            self._send(Notice(f"{len(found)} jobs run already; waiting for them."))

    def _start_ready(self) -> None:
        waiting: list[Job] = []
        self._start_what_fits(waiting)
        for job in reversed(waiting):
            self._queue.put_back(job)

    def _start_what_fits(self, waiting: list[Job]) -> None:
        """Start jobs until one waits that lets no other overtake it; those that wait are added to `waiting`."""
        while not self._stopped and self._clock() >= self._next_start:
            job = self._queue.next(self.records)
            if job is None:
                return
            if isinstance(job, Wait):
                self._announce_source(job.reason)
                return
            self._add(job)
            lease = self._held_back(job) or self._executor.offer(job)
            if isinstance(lease, Wait):
                waiting.append(job)
                if len(waiting) == 1:
                    self._announce_wait(job, lease.reason)
                if lease.over:
                    self._waited = not self._stopped
                    self.stop_starting(lease.reason)
                if not lease.others or len(waiting) > self._lookahead:
                    return
                continue
            self._tries[job.name] = self._tries.get(job.name, 0) + 1
            now, how = self._adjustments.start(job) if self._adjustments else (job, "")
            handle = self._executor.submit(now, lease)
            if isinstance(handle, Wait):
                self._start_later(job, handle.reason)
                return
            if isinstance(handle, Record):
                self._end(handle)
                self._send_late()
                continue
            self._running[handle] = Follower(job)
            for note in filter(None, (how, handle.attempt.note)):
                self._send(Notice(f"{job.name}: {note}"))

    def _held_back(self, job: Job) -> Wait | None:
        """A job after which the memory of the machine ran out is tried again while no other runs."""
        if job.name in self._alone and self._running:
            return Wait("it runs alone, as the memory of the machine ran out")
        others = [handle.job.name for handle in self._running if handle.job.name in self._alone]
        return Wait(f"{others[0]} runs alone") if others else None

    def _start_later(self, job: Job, reason: str) -> None:
        """A job that could not be started for want of room is the next one again; that was no try."""
        if job.name in self._tries:
            self._tries[job.name] -= 1
        self._queue.put_back(job)
        self._announce_wait(job, reason)
        self._next_start = self._clock() + START_PAUSE

    def _add(self, job: Job) -> None:
        if job.name not in self.records:
            self.records[job.name] = Record(job)
            self._send(JobAdded(job))

    def _announce_wait(self, job: Job, reason: str) -> None:
        if self._reasons.get(job.name, "") != reason:
            self._reasons[job.name] = reason
            self._send(JobWaiting(job, reason))

    def _announce_source(self, reason: str) -> None:
        if reason and self._reasons.get("") != reason:
            self._send(Notice(f"No further job yet: {reason}."))
        self._reasons[""] = reason

    def _obey(self, signals: StopRequests) -> None:
        """Stop what is running: gently at the first signal, at once at the second."""
        if self._running and signals.received and signals.received[0] in self._leaves and not self._signals_obeyed:
            self._leave(len(signals.received))
            return
        if signals.drain_requested:
            self.stop_starting("only the running jobs were to be finished")
        for number in range(self._signals_obeyed, len(signals.received)):
            how: How = "stop" if number == 0 else "kill"
            for handle in self._running:
                handle.stop(how)
            names = ", ".join(handle.job.name for handle in self._running) or "no job"
            if number == 0:
                self._stopped = "interrupted"
                grace = f"{self._options.grace[0]:g} s (--grace)"
                asked = f"asked {names} to save and leave within {grace}"
                self._send(Notice(f"Stopping: {asked}. A second Ctrl+C kills at once."))
            elif number == 1:
                self._send(Notice(f"Killing {names} and every process below."))
        self._signals_obeyed = len(signals.received)

    def _leave(self, received: int) -> None:
        """End without the jobs that run, as they do not need us."""
        self._stopped = "interrupted"
        self._signals_obeyed = received
        self._send(Notice(f"{count(len(self._running), 'job')} continue without this process; --resume watches them."))
        self._running.clear()

    def _carry_out(self, requests: Requests | None) -> None:
        if requests is not None:
            for incoming in requests.take():
                requests.answer(incoming, self._requested.carry_out(incoming.request, self._stopped))

    def _collect(self) -> None:
        """Read what the running jobs did since the last look."""
        look = self._clock() >= self._next_look
        for handle, follower in list(self._running.items()):
            self._announce_start(handle)
            if handle.done():
                del self._running[handle]
                self._announced.discard(handle)  # what it refers to, such as a process with imports, ends with it
                self._pruned.discard(handle)
                self._follow(handle.job, follower)
                record = handle.record()
                if isinstance(record, Wait) and handle.job.name in self._requested.stopped:
                    self._requested.never_started(handle.job.name)
                elif isinstance(record, Wait):
                    self._start_later(self.records[handle.job.name].job, record.reason)
                else:
                    self._end(record)
            elif look and handle.pid is not None:
                self._follow(handle.job, follower)
                self._prune(handle)
        if look:
            self._next_look = self._clock() + self._look
            self._send(Tick())

    def _announce_start(self, handle: Handle) -> None:
        if handle.pid is not None and handle not in self._announced:
            self._announced.add(handle)
            self._reasons.pop(handle.job.name, None)
            host = getattr(handle, "host", None)
            state = Running(handle.started_at or "", handle.pid, handle.attempt.argv, host, handle.attempt.gpus)
            record = Record(self.records[handle.job.name].job, state, handle.attempt.number)
            self.records[handle.job.name] = record
            self._send(JobStarted(record))

    def _follow(self, job: Job, follower: Follower) -> None:
        before = follower.progress
        lines = follower.advance()
        if lines or follower.progress is not before:
            self._send(JobProgressed(job, follower.progress, lines))

    def _prune(self, handle: Handle) -> None:
        """Let a job save and leave that its source has seen enough of. One that has just been started cannot, yet."""
        if self._pruner is None or handle in self._pruned or handle not in self._announced:
            return
        if reason := self._pruner.prunes(handle.job):
            self._pruned.add(handle)
            handle.stop("prune")
            self._send(Notice(f"{handle.job.name} is pruned: {reason}."))

    def _end(self, record: Record) -> None:
        """Keep the record of a job that ended, and decide what follows from it."""
        name = record.job.name
        assert isinstance(record.state, Finished)
        record = replace(record, job=self.records[name].job)  # as planned; it may have been started with other settings
        adopted = name not in self._tries and not self._leaves  # elsewhere no job ends because its engine did
        tries = self._tries.get(name, 1)
        by_request = name in self._requested.stopped
        again = None if self._stopped or by_request else self._again(record, tries, adopted=adopted)
        self.records[name] = record
        self._late.append(JobEnded(record, again=again is not None))
        if again is not None or record.status not in SUCCESSES or not self._lookahead:
            self._send_late()
        if again is None:
            self._tries.pop(name, None)  # a pruned one may be promoted, which does not count as one
            if not by_request:  # what the user stopped did not fail
                self._count_failure(record)
            return
        self._tries[name] = tries if again.counts else tries - 1
        if again.delay:
            self._queue.put_later(record.job, again.delay)
        else:
            self._queue.put_back(record.job)
        if again.sentence:
            self._send(Notice(f"{name} {again.sentence}."))

    def _again(self, record: Record, tries: int, *, adopted: bool) -> Again | None:
        """How a job that ended is started again; None if it is not."""
        name = record.job.name
        assert isinstance(record.state, Finished)
        if free := uncounted(record):
            return Again(0.0, free, counts=False)
        if self._adjustments and (how := self._adjustments.after(record)):
            return Again(0.0, f"runs again with {how}", counts=False)
        again = after_others(self._options, record.state.outcome, self._because_of_others.get(name, 0))
        if again is not None:
            self._because_of_others[name] = self._because_of_others.get(name, 0) + 1
            return again
        delay = delay_after(self._options, record.state.outcome, tries, adopted=adopted)
        if delay is None:
            return None
        if record.status == INTERRUPTED:  # it was adopted, and lost its engine
            return Again(delay, "", counts=False)
        if record.state.outcome.cause == HOST_OOM:
            self._alone.add(name)
        return Again(delay, f"is tried again in {duration(delay)}, retry {tries} of {self._options.retries}")

    def _count_failure(self, record: Record) -> None:
        alike = self._breaker.take(record)
        if record.status in SUCCESSES or self._stopped:
            return
        self._failures += 1
        limit = self._options.failure_limit
        if limit is not None and self._failures >= limit:
            self.stop_starting(f"{count(self._failures, 'job')} did not complete, which is the limit")
        elif not self._queue.empty and fails_for_all(record, self.records.values()):
            self.stop_starting("all other jobs have the same command line, which its program refused")
        elif alike and (
            not (self._lookahead or self._queue.empty)
            or any(isinstance(other.state, Pending) for other in self.records.values())
        ):
            self.stop_starting(alike)
