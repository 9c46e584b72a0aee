"""The life of one batch: open the folder, lock it, plan, select, run. All entry points use it."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.cli.request_folder import RequestFolder
from runner.core import clock, program
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.state import PENDING, SUCCESSES, Record
from runner.core.text import shown
from runner.disk import attempts, plan_file, requests, results
from runner.disk.layout import BatchPaths
from runner.disk.lock import Held, Lock
from runner.engine import loop
from runner.engine.adjustments import Adjustments
from runner.engine.events import BatchEnded, Event
from runner.engine.protocols import Executor, JobSource, Observer
from runner.executors.registry import adopts_elsewhere
from runner.executors.under_lock import UnderLock
from runner.planners import recorded
from runner.planners.select import Selection, What, select
from runner.processes.signals import NoSignals, Signals
from runner.reports.registry import views_of

ALL_COMPLETED, SOME_DID_NOT, SIGNALLED = 0, 1, 128  # the last: plus the number of the signal
LOCKED = NO_GPU = 75  # try again later


class Locked(UserError):
    """The batch is locked by another runner."""

    exit_code = LOCKED


class Failed(UserError):
    """What goes wrong once jobs were started: exit code 2 would say that nothing was."""

    exit_code = SOME_DID_NOT


@contextmanager
def started(root: Path) -> Iterator[None]:
    """From here on jobs of this batch may have been started, so an error gets another exit code."""
    try:
        yield
    except UserError as error:
        raise Failed(*error.problems, counted=False) from error
    except OSError as error:
        cause = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        what = f"{shown(root)}: the runner itself failed ({cause}), and no further job was started"
        raise Failed(f"{what}; continue with {program.resume_command(root)}") from error


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a batch: a record for each job of the plan, in the same sequence, and the signals that came.

    `added` are the names of jobs that were added by request; their records come last. `waited`: the batch ended
    because a job had waited for as long as it may.
    """

    records: Sequence[Record]
    signals: Sequence[int]
    added: frozenset[str] = frozenset()
    waited: bool = False

    def exit_code(self, selected: Collection[str]) -> int:
        """128 + N after signal N; else 0 if all `selected` and added jobs completed or were pruned, and 1 if not.

        If none of them was started, because there was no free GPU, another call may do better.
        """
        if self.signals:
            return SIGNALLED + self.signals[0]
        jobs = (record for record in self.records if record.job.name in selected or record.job.name in self.added)
        statuses = {record.status for record in jobs}
        if self.waited and statuses == {PENDING}:
            return NO_GPU
        return ALL_COMPLETED if statuses <= SUCCESSES else SOME_DID_NOT


class _End:
    """An observer that keeps how the batch ended."""

    waited = False

    def __call__(self, event: Event) -> None:
        if isinstance(event, BatchEnded):
            self.waited = event.waited


class BatchSession:
    """One batch while this process runs it. The functions below open one; signals are counted while it is open.

    `lock` is None for a batch that takes locks of its own, job by job. `plan` is the one on the disk, if it was read.
    """

    def __init__(self, root: Path, lock: Lock | None, signals: Signals, plan: Plan | None = None) -> None:
        self.root = root
        self.lock = lock
        self._plan = plan
        self._signals = signals
        self._requests: RequestFolder | None = None

    def recorded(self) -> Plan:
        """The plan that is on the disk. Raises UserError."""
        return self._plan or recorded.plan(self.root)

    def records(self, plan: Plan) -> dict[str, Record]:
        """The record of every job on the disk; pending where there is none, or the result of another job."""
        return {job.name: results.read_record(job) for job in plan.jobs}

    def select(self, plan: Plan, what: What) -> Selection:
        """Which jobs are run."""
        if adopts_elsewhere(plan.options):
            what = replace(what, elsewhere=True)
        return select(plan, self.records(plan), what)

    def begin(self, plan: Plan, selection: Selection) -> Selection:
        """Clean up after a crash, archive the attempts that selected jobs replace, write plan.json. Raises OSError.

        plan.json is written last: until then the batch is as it was, but for attempts that are archived. Returns the
        selection without the jobs whose attempts cannot be archived: each is kept with that as its error.
        """
        attempts.clean_up_batch(plan)
        requests.clean_up(plan.root)
        results.remove_end(plan.root)
        refused = _archive(selection)
        if self._plan is not None and _is_same(plan, self._plan):
            plan_file.touch(plan.root)
        else:
            plan_file.write(plan)
        self._plan = None
        self._requests = RequestFolder(plan)
        return selection.without(refused)

    def run(
        self,
        plan: Plan,
        selection: Selection,
        executor: Executor,
        observers: Sequence[Observer],
        adjustments: Adjustments | None = None,
        source: JobSource | None = None,
    ) -> Ended:
        """Run the selected jobs to their end; a job that fails does not stop the others."""
        if self.lock is not None:
            executor = UnderLock(executor, self.lock)
        with started(plan.root):
            watching = [*observers, end := _End()]
            try:
                records = loop.run(
                    plan, executor, watching, self._signals, selection.keep,
                    source=source, requests=self._requests, adjustments=adjustments,
                )  # fmt: skip
            finally:
                if self.lock is not None:
                    self.lock.rest()
        added = frozenset(record.job.name for record in records[len(plan.jobs) :])
        ended = Ended(records, list(self._signals.received), added, end.waited)
        if self._requests is not None:
            results.write_end(plan.root, ended.exit_code(selection.selected))
        return ended

    def append(self, job: Job) -> None:
        """Add a job to plan.json while the batch runs. Raises OSError."""
        assert self._requests is not None
        self._requests.append(job)

    def rebuild_views(self, plan: Plan) -> None:
        """Write the files that sum up the batch again, from the records on the disk. Raises OSError."""
        records = list(self.records(plan).values())
        for view in views_of(plan):
            for name, content in view.files(records, clock.now()).items():
                results.write_view(plan.root, name, content)

    @property
    def signals(self) -> Signals:
        return self._signals


def _archive(selection: Selection) -> dict[str, Record]:
    """Archive the attempts that selected jobs replace; the records of jobs whose attempts cannot be archived."""
    refused: dict[str, Record] = {}
    archive = attempts.archive_attempt
    steps: list[tuple[Sequence[Job], Callable[[Job], None]]] = [
        (selection.archive, attempts.archive_completed),
        (selection.from_scratch, lambda job: archive(job, whole=True)),
        (selection.extended, lambda job: archive(job, whole=False)),
    ]
    for jobs, step in steps:
        for job in jobs:
            try:
                step(job)
            except OSError as error:
                refused[job.name] = attempts.not_started(job, error)
    return refused


def _is_same(plan: Plan, recorded: Plan) -> bool:
    """Whether plan.json holds this plan already: a batch of thousands that is done is resumed without writing it."""
    same_jobs = len(plan.jobs) == len(recorded.jobs) and all(map(operator.is_, plan.jobs, recorded.jobs))
    return same_jobs and not plan.files and plan.moved_from is None and plan == recorded


@contextmanager
def new_batch(plan: Plan, replan: Callable[[], Plan]) -> Iterator[tuple[BatchSession, Plan]]:
    """A folder of its own for a new batch. If another batch takes it at this moment, `replan` chooses another one."""
    with stop_requests() as signals:  # from here on something is written: a signal must not cut it short
        while True:
            try:
                results.open_batch(plan.root)
                break
            except results.Taken:
                plan = replan()
            except OSError as error:
                cause = f"{plan.root}: cannot be made ({error.strerror})"
                raise UserError(f"{cause}; choose another --base_out_dir") from None
        with locked_batch(plan.root) as lock:
            yield BatchSession(plan.root, lock, signals), plan


@contextmanager
def existing_batch(root: Path) -> Iterator[BatchSession]:
    """The batch in `root`, to continue it. Raises UserError, Locked or OSError."""
    if not plan_file.exists(root):
        recorded.plan(root)  # a folder that is not a batch gets no lock file, but an error
    with stop_requests() as signals, locked_batch(root) as lock:
        plan = recorded.plan(root)
        yield BatchSession(plan.root, lock, signals, plan)


@contextmanager
def output_root(root: Path) -> Iterator[BatchSession]:
    """A folder that is used by several calls; it is made if it does not exist. Raises Locked or OSError."""
    with stop_requests() as signals:
        results.open_root(root)
        with locked_batch(root) as lock:
            yield BatchSession(root, lock, signals)


@contextmanager
def held_batch(root: Path, lock: Lock | None) -> Iterator[BatchSession]:
    """A batch whose lock the caller holds, for longer than this session; or one without a lock for all of it."""
    with stop_requests() as signals:
        yield BatchSession(root, lock, signals)


def stop_requests() -> Signals:
    """Signals can be received in the main thread only."""
    return Signals() if threading.current_thread() is threading.main_thread() else NoSignals()


@contextmanager
def locked_batch(root: Path) -> Iterator[Lock]:
    """The lock of a batch, without reading its plan. Raises Locked or OSError."""
    try:
        lock = Lock(BatchPaths(root).lock)
    except Held as held:
        by = held if held.stranger else f"another runner ({held})"
        raise Locked(f"{shown(root)}: is locked by {by}", counted=False) from None
    with lock:
        yield lock
