"""Run the calls of a plan through the engine: existing results are loaded, missing ones are computed and kept."""

from __future__ import annotations

import platform
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from runner.cli.session import held_batch
from runner.core import clock
from runner.core.job import Job, Plan
from runner.core.options import CONTINUE, RunOptions
from runner.core.printing import say
from runner.core.state import COMPLETED, ERROR, FAILED, INTERRUPTED, Finished, Outcome, Record
from runner.core.stopwatch import Stopwatch
from runner.core.text import listed
from runner.disk import layout
from runner.disk.lock import Held
from runner.engine.protocols import Executor
from runner.executors.inline import Inline, perform
from runner.executors.local import Local
from runner.executors.provenance import Provenance
from runner.executors.python_environment import PACKAGES
from runner.library import cache, current_code
from runner.library.adopt import adopt
from runner.library.arguments import Given
from runner.library.cache import CachePolicy, Hit, Miss
from runner.library.cached_executor import CachedExecutor, cached
from runner.library.config_lock import ConfigLock, WaitsForItself
from runner.library.console import LISTED, Console
from runner.library.plan import Call
from runner.planners.select import Selection


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What is known of each job after a run, by its name. `signal` is the first that came, if one did."""

    hits: Mapping[str, Hit]
    records: Mapping[str, Record]
    signal: int | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)  # why a result that is there was not taken

    def why_missing(self, name: str) -> str:
        """Why a config has no result, in a few words."""
        state = self.records[name].state
        if isinstance(state, Finished):
            return state.outcome.error or self.records[name].status
        return self.unusable.get(name, "not computed")


class Work:
    """The user's function, as executors do it: the value of a call is pickled, an exception becomes a record."""

    def __init__(self, function: Callable[[Any], Any], calls: Sequence[Call]) -> None:
        self._function = function
        self._calls = {call.job.name: call for call in reversed(calls)}

    def call(self, job: Job) -> Any:
        own = self._calls[job.name].own_values()
        before, _inside.function = computing(), True
        try:
            value = self._function(own.config)
        finally:
            _inside.function = before
        own.check()
        return value

    def keep(self, job: Job, value: Any, spent: Stopwatch) -> Outcome:
        try:
            cache.keep(job.out_dir, self._calls[job.name].key, value, spent.read(), versions())
        except OSError as error:
            return Outcome(ERROR, error=f"the result cannot be written: {error.strerror or error} ({job.out_dir})")
        except Exception as error:  # whatever pickling raises
            error.add_note("The config was computed, but what the function returned cannot be pickled.")
            return self.fail(job, error, spent)
        return Outcome(COMPLETED, 0)

    def fail(self, job: Job, error: BaseException, spent: Stopwatch) -> Outcome:
        try:
            sentence = cache.fail(job.out_dir, self._calls[job.name].key, error, spent.read(), versions())
        except OSError as unwritten:
            sentence = f"{type(error).__name__}: {error} (and {unwritten.filename} cannot be written)"
        return Outcome(FAILED, error=sentence)


_inside = threading.local()


def computing() -> bool:
    """Whether this thread is in the function of an experiment: there, another one is part of a larger program."""
    return getattr(_inside, "function", False)


def versions() -> dict[str, str]:
    """Of Python, and of the packages that are loaded already."""
    loaded = {name: getattr(sys.modules.get(name), "__version__", None) for name in PACKAGES}
    return {"python": platform.python_version(), **{name: str(it) for name, it in loaded.items() if it is not None}}


def look_up(calls: Sequence[Call], policy: CachePolicy, *, write: bool = True) -> dict[str, Hit | Miss]:
    """What there is of each job, by its name. `write`: results that a crash left in the archive are put back first."""
    found: dict[str, Hit | Miss] = {}
    archived = cache.archived(calls[0].job.out_dir.parent) if calls and write else set()
    for call in calls:
        if call.job.name not in found:
            if call.job.out_dir.name in archived:
                _recover(call)
            found[call.job.name] = cache.look(call.job.out_dir, call.key, policy)
    return found


def _migrate(calls: Sequence[Call], hits: Mapping[str, Hit]) -> None:
    """Results of version 0.1.0 get records of this one, as long as their code is known to be unchanged."""
    for call in {call.job.name: call for call in calls}.values():
        hit = hits.get(call.job.name)
        if hit is not None and hit.meta.get("schema") == 1 and call.key.has_code_of(hit.meta):
            _with_lock(call, partial(cache.migrate, call.job.out_dir, call.key))


def _recover(call: Call) -> None:
    if not (call.job.out_dir / layout.SUPERVISOR).exists():  # a process may still write there: when its turn comes
        _with_lock(call, partial(cache.recover, call.job.out_dir))


def _with_lock(call: Call, step: Callable[[], None]) -> None:
    """Do it, unless somebody computes the config at this moment, or the disk does not allow it."""
    try:
        lock = ConfigLock(call.job.out_dir, call.key)
    except (Held, WaitsForItself, OSError):
        return
    try:
        step()
    except OSError:
        pass
    finally:
        lock.release()


def evaluate(
    function: Callable[[Any], Any], plan: Plan, calls: Sequence[Call], given: Given, console: Console
) -> Evaluated:
    """Bring every call to a result, as far as that can be done."""
    policy = CachePolicy(given.code, clock.now() if given.rerun else None)
    if given.adopt is not None and (adopted := adopt(calls, given.adopt)):
        console.print(f"Adopted from {given.adopt}: {listed(adopted, LISTED)}.")
    existing = {} if given.rerun else look_up(calls, policy)
    hits = {name: found for name, found in existing.items() if isinstance(found, Hit)}
    _migrate(calls, hits)
    _print_stale(hits, console)
    kept = {job.name: cached(job, hits[job.name]) for job in plan.jobs if job.name in hits}
    keys = {call.job.name: call.key for call in calls}
    with held_batch(plan.root, None) as session:
        if given.isolated and len(kept) < len(plan.jobs):
            options = RunOptions(max_workers=given.workers, on_nan=CONTINUE, warm=given.warm)
            inner: Executor = Local(options, Provenance(plan.jobs))
        else:
            inner = Inline(Work(function, calls), session.signals)
        executor = CachedExecutor(plan.root, inner, given.workers, keys, policy, console.print)
        run = tuple(job for job in plan.jobs if job.name not in kept)
        selection = Selection(run, kept, frozenset(job.name for job in plan.jobs))
        with current_code.running() if run else nullcontext():
            ended = session.run(plan, selection, executor, [console])
    _print_stale(executor.found, console)
    records = {record.job.name: record for record in ended.records}
    return Evaluated({**hits, **executor.found}, records, next(iter(ended.signals), None))


def compute(function: Callable[[Any], Any], call: Call) -> int:
    """Compute one config in this process, which was started for it; returns the exit code."""
    outcome = perform(Work(function, [call]), call.job)
    if outcome.status == INTERRUPTED:
        return 130
    if outcome.status != COMPLETED:
        say(outcome.error, file=sys.stderr)
    return 0 if outcome.status == COMPLETED else 1


def existing_results(calls: Sequence[Call], policy: CachePolicy, console: Console) -> Evaluated:
    """The results that there are; nothing is computed."""
    existing = look_up(calls, policy)
    hits = {name: found for name, found in existing.items() if isinstance(found, Hit)}
    unusable = {name: it.why for name, it in existing.items() if isinstance(it, Miss) and it.why and not it.outdated}
    _print_stale(hits, console)
    jobs = {call.job.name: call.job for call in calls}
    records = {name: cached(job, hits[name]) if name in hits else Record(job) for name, job in jobs.items()}
    return Evaluated(hits, records, unusable=unusable)


def _print_stale(hits: Mapping[str, Hit], console: Console) -> None:
    stale = [name for name, hit in hits.items() if hit.stale]
    if stale:
        console.print(
            f"Stale: the code has changed since {listed(stale, LISTED)} "
            f"{'was' if len(stale) == 1 else 'were'} computed. --code rerun computes again, --code ignore is silent."
        )
