"""One sweep in its folder: takes it, has each batch of jobs run by the engine, and answers as Hydra expects."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_launcher import _order, _planning, _program
from hydra_plugins.runner_launcher._folder import Folder
from hydra_plugins.runner_launcher._mistake import JobFailed
from hydra_plugins.runner_launcher._narrator import Narrator
from hydra_plugins.runner_launcher._options import Options
from hydra_plugins.runner_launcher._planning import Planned, Sweeping
from runner.cli import main
from runner.core import clock
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, Finished, Record
from runner.disk import attempts, results
from runner.disk.layout import ERROR_DETAILS
from runner.engine import loop
from runner.executors import provenance
from runner.executors.local import Local
from runner.observers.journal import Journal
from runner.processes.signals import Deaf, Signals
from runner.reports import views

KIND = PlanKind("hydra")
log = logging.getLogger(__name__)


class Sweep:
    """Owns the lock of its folder until this process ends."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig, options: Options) -> None:
        self._options = options
        self._folder = Folder.take(config, resume=options.resume)
        atexit.register(self._folder.release)
        _planning.assign(config.hydra.sweep, dir=self._folder.text)
        self._sweep = Sweeping(self._folder.root, config, context, _program.of(context, task))
        self._created_at = clock.now()
        self._earlier: list[Record] = []  # of earlier batches of this sweep

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the batch. Ctrl+C ends the program, once the running jobs have saved and left."""
        planned = _planning.plan(self._sweep, batch, first)
        self._folder.refuse_changes([one.job for one in planned])
        done = {one.job.name: _done(one, resume=self._options.resume) for one in planned}
        known = {name: record for name, record in done.items() if record is not None}
        overrides = {one.job.name: one.overrides for one in planned}
        with _signals() as signals:
            plan = self._begin(planned, known)
            records = loop.run(
                plan,
                Local(plan.options, provenance.gather(Path.cwd())),
                [Journal(self._earlier), Narrator(overrides, self._options.run.max_workers)],
                signals,
                known,
            )
            heard = signals.received[0] if signals.received else None
        self._earlier += records
        if heard is not None:
            sys.exit(main.SIGNALLED + heard)
        return [_answer(one, record) for one, record in zip(planned, records, strict=True)]

    def _begin(self, planned: Sequence[Planned], known: Mapping[str, Record]) -> Plan:
        """Write down what is to be done: the orders, then plan.json with the jobs of earlier batches too."""
        plan = Plan(
            self._sweep.root.name,
            self._sweep.root,
            tuple(one.job for one in planned),
            KIND,
            self._created_at,
            options=self._options.run,
        )
        orders = {
            _planning.order_file(one.number): self._sweep.start.order(one.config, str(one.job.out_dir))
            for one in planned
            if one.job.name not in known
        }
        whole = replace(plan, jobs=(*(record.job for record in self._earlier), *plan.jobs), files=orders)
        results.write_plan(whole, views.plan_record(whole))
        attempts.clear_batch(plan)
        return plan


def _signals() -> Signals:
    """They can be heard in the main thread only."""
    return Signals() if threading.current_thread() is threading.main_thread() else Deaf()


def _done(one: Planned, *, resume: bool) -> Record | None:
    """The record of a job that completed earlier. One that is to be run anew all the same is put aside."""
    record = results.finished(one.job)
    if record is None or (resume and _order.read_back(one.job.out_dir) is not None):
        return record
    attempts.put_away_completed(one.job)
    return None


def _answer(one: Planned, record: Record) -> JobReturn:
    """What Hydra wants to know of a job."""
    returned = _order.read_back(one.job.out_dir) if isinstance(record.state, Finished) else None
    answer = JobReturn(
        overrides=list(one.config.hydra.overrides.task),
        cfg=_planning.task_config(one.config),
        hydra_cfg=OmegaConf.masked_copy(one.config, ["hydra"]),
        working_dir=returned.working_dir if returned and returned.working_dir else str(one.job.out_dir),
        task_name=one.config.hydra.job.name,
        status=JobStatus.FAILED,
    )
    if returned is None or (record.status == COMPLETED) != (returned.status is JobStatus.COMPLETED):
        answer.return_value = JobFailed(_why(record))
        return answer
    if returned.lost:
        log.warning(f"\t#{record.job.name}: {returned.lost}")
    if isinstance(returned.value, Exception) and returned.status is JobStatus.FAILED:
        returned.value.add_note(f"(raised in a process of its own: {one.job.out_dir / ERROR_DETAILS})")
    answer.status, answer.return_value = returned.status, returned.value
    return answer


def _why(record: Record) -> str:
    where = f"its logs: {record.job.out_dir}"
    if not isinstance(record.state, Finished):
        return f"job {record.job.name} was not begun"
    if record.status == COMPLETED:
        return f"job {record.job.name} ended without having come to the Hydra application; {where}"
    return f"job {record.job.name}: {record.status}: {record.state.outcome.error}; {where}"
