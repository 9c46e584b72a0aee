"""Compute each config once, whoever asks: lock, look, run in another executor, and let the new result stand."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal

from runner.core.job import Attempt, Job
from runner.core.options import RunOptions
from runner.core.state import COMPLETED, ERROR, FAILED, INTERRUPTED, Finished, Outcome, Record
from runner.disk import atomic, attempts, layout
from runner.disk.lock import Held, Lock
from runner.executors.supervised import Adopted, adopt
from runner.library import cache
from runner.library.cache import Hit, Key, Miss, Trust

if TYPE_CHECKING:
    from runner.engine.loop import Executor, Handle

POLL = 0.05  # seconds between two tries to get a lock that another process holds


class Turn:
    """One config: it waits for its lock, then it is computed. A Handle of the engine; owns the lock."""

    def __init__(self, job: Job, key: Key) -> None:
        self.job, self.key = job, key
        self.attempt = Attempt(job, 1, job.argv, job.env)
        self.lock: Lock | None = None
        self.orphan: Adopted | None = None  # what an --isolate that was killed left running
        self.inner: Handle | None = None
        self.told = False
        self._record: Record | None = None

    @property
    def pid(self) -> int | None:
        return self.inner.pid if self.inner else None

    @property
    def started_at(self) -> str | None:
        return self.inner.started_at if self.inner else None

    def done(self) -> bool:
        return self._record is not None

    def record(self) -> Record:
        assert self._record is not None
        return self._record

    def end(self, record: Record) -> None:
        self._record = record
        if self.lock is not None:
            self.lock.release()
            self.lock = None

    def stop(self, how: Literal["stop", "kill"]) -> None:
        if self.inner is not None:
            self.inner.stop(how)
        elif not self.done():
            self.end(_ended(self.job, Outcome(INTERRUPTED, error="interrupted")))


class Once:
    """An Executor around another one. `found` gets what was computed or, meanwhile, loaded: name of the job -> Hit."""

    def __init__(self, inner: Executor, keys: Mapping[str, Key], trust: Trust, say: Callable[[str], None]) -> None:
        self.slots = inner.slots
        self.grace = inner.grace
        self.found: dict[str, Hit] = {}
        self._inner = inner
        self._keys = keys
        self._trust = trust
        self._say = say
        self._turns: list[Turn] = []

    def finished(self, job: Job) -> Record | None:
        """None: what stands in the folder is looked at when its lock is held."""
        return None

    def submit(self, job: Job) -> Turn:
        turn = Turn(job, self._keys[job.name])
        self._turns.append(turn)
        return turn

    def adopt(self, job: Job) -> None:
        """None: what runs without its engine is waited for when its turn comes."""

    def wait(self, seconds: float, wake: int) -> None:
        """Let each turn go on, and what runs run."""
        for turn in self._turns:
            self._guarded(self._begin, turn)
        running = [turn for turn in self._turns if turn.inner is not None and not turn.done()]
        waiting = [turn for turn in self._turns if turn.inner is None and not turn.done()]
        if running:
            self._inner.wait(min(seconds, POLL) if waiting else seconds, wake)
        elif len(waiting) == len(self._turns):
            poll = select.poll()
            poll.register(wake, select.POLLIN)
            poll.poll(POLL * 1000)
        for turn in running:
            if turn.inner is not None and turn.inner.done():
                self._guarded(self._settle, turn)
        self._turns = [turn for turn in self._turns if not turn.done()]

    def _guarded(self, step: Callable[[Turn], None], turn: Turn) -> None:
        """A disk that is full or closed to us ends one config and not all."""
        try:
            step(turn)
        except OSError as error:
            why = f"{error.strerror or error} ({error.filename or turn.job.out_dir})"
            turn.end(_ended(turn.job, Outcome(ERROR, error=why)))

    def _begin(self, turn: Turn) -> None:
        if turn.done() or turn.inner is not None or not self._locked(turn):
            return
        folder, key = turn.job.out_dir, turn.key
        cache.recover(folder)
        found = cache.look(folder, key, self._trust)
        if isinstance(found, Miss) and cache.copy_twin(folder, key, self._trust):
            found = cache.look(folder, key, self._trust)
        if isinstance(found, Hit):
            self.found[turn.job.name] = found
            turn.end(cached(turn.job, found))
            return
        if found.foreign:
            turn.end(_ended(turn.job, Outcome(ERROR, error=found.why)))
            return
        if found.why and not found.outdated:
            self._say(f"{turn.job.name}: {found.why}; what is there is set aside, and it is computed again.")
        attempts.clear(turn.job)  # processes of an earlier attempt, before its records are moved
        cache.make_room(folder, found)
        turn.inner = self._inner.submit(turn.job)

    def _locked(self, turn: Turn) -> bool:
        """True once nobody else computes this config."""
        if turn.lock is None:
            path = cache.lock(turn.job.out_dir, turn.key.digest)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                turn.lock = Lock(str(path), patience=0)
            except Held as held:
                if not turn.told:
                    self._say(f"{turn.job.name}: waiting for {held}, which computes it.")
                    turn.told = True
                return False
            turn.orphan = adopt(turn.job, RunOptions())
        if turn.orphan is not None:
            turn.orphan.enforce()
            if not turn.orphan.done():
                return False
            turn.orphan.record()
            turn.orphan = None
        return True

    def _settle(self, turn: Turn) -> None:
        """What was computed is loaded again, so that the first run sees exactly what all later ones will see."""
        assert turn.inner is not None
        record = turn.inner.record()
        folder = turn.job.out_dir
        if record.status == COMPLETED:
            found = cache.look(folder, turn.key, Trust(code="ignore"))
            if isinstance(found, Hit):
                self.found[turn.job.name] = found
            else:
                why = f"there is no result to be used: {found.why or 'the script did not come to this config'}"
                record = _ended(turn.job, Outcome(FAILED, error=why))
        if record.status not in (COMPLETED, INTERRUPTED) and not (folder / layout.JOB_ERROR).exists():
            _explain(record)
        cache.recover(folder)
        turn.end(record)


def cached(job: Job, found: Hit) -> Record:
    """The record of a config whose result stood already."""
    meta = found.meta
    seconds = float(meta.get("duration_seconds") or 0.0)
    state = Finished(meta.get("start_time"), meta.get("end_time") or "", seconds, Outcome(COMPLETED, 0))
    return Record(job, state, cached=True)


def _ended(job: Job, outcome: Outcome) -> Record:
    return Record(job, Finished(None, "", 0.0, outcome))


def _explain(record: Record) -> None:
    """error.json on behalf of a process that could not write it: it was killed, or ran too long."""
    assert isinstance(record.state, Finished)
    report = {"schema": 1, "type": record.status, "message": record.state.outcome.error, "traceback": ""}
    atomic.write_json(record.job.out_dir / layout.JOB_ERROR, report)
