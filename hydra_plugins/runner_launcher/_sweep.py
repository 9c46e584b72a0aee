"""One sweep in its folder: locks it, runs each batch of jobs by the engine, and returns what Hydra expects."""

from __future__ import annotations

import atexit
import logging
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.runner_launcher import _objective, _order, _planning, _program, _review
from hydra_plugins.runner_launcher._errors import JobFailed, LaunchError
from hydra_plugins.runner_launcher._folder import Folder
from hydra_plugins.runner_launcher._log_observer import LogObserver
from hydra_plugins.runner_launcher._options import Options
from hydra_plugins.runner_launcher._planning import Planned, Sweeping
from runner.cli.gpu_choice import with_gpus
from runner.cli.session import held_batch
from runner.core import clock
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.core.state import COMPLETED, RUNNING, Finished, Record
from runner.core.text import count, listed
from runner.disk.layout import ERROR_DETAILS
from runner.executors.local import Local
from runner.executors.provenance import Provenance
from runner.observers.journal import Journal
from runner.planners.select import Selection

KIND = PlanKind("hydra")
log = logging.getLogger(__name__)


class Sweep:
    """Owns the lock of its folder until this process ends."""

    def __init__(self, context: HydraContext, task: TaskFunction, config: DictConfig, options: Options) -> None:
        self._options = options
        self._folder = Folder.take(config, resume=options.resume)
        atexit.register(self._folder.release)
        _planning.assign(config.hydra.sweep, dir=self._folder.text)
        start = _program.of(context, task)
        self._sweep = Sweeping(
            root=self._folder.root,
            config=config,
            context=context,
            start=start,
            not_secret=options.run.not_secret,
            allow_missing=options.allow_missing,
            left=self._folder.left,
        )
        self._created_at = clock.now()
        self._earlier: list[Record] = []  # of earlier batches of this sweep

    def run(self, batch: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        """Run the batch. Ctrl+C ends the program, once the running jobs have saved and left."""
        planned = _planning.plan(self._sweep, batch, first, [record.job for record in self._earlier])
        drawn = _objective.is_optuna(self._sweep.config.hydra.sweeper)
        self._folder.refuse_changes([one.job for one in planned], _objective.SAME_TRIALS if drawn else "")
        if same := _review.duplicates({one.number: one.job for one in planned}):
            log.warning(f"{count(len(same), 'job')} with a config that another one has already: {listed(same, 5)}")
        overrides = {one.job.name: one.overrides for one in planned}
        plan = self._with_gpus(self._plan(planned))
        with held_batch(self._sweep.root, self._folder.lock) as session:
            selection = self._selected(session.records(plan), planned)
            selection = session.begin(self._whole(plan, planned, selection), selection)
            ended = session.run(
                plan,
                selection,
                Local(plan.options, Provenance(selection.run)),
                [Journal(self._earlier), LogObserver(overrides, plan.options.max_workers)],
            )
        self._earlier += ended.records
        if ended.signals:
            sys.exit(ended.exit_code(()))
        return [_answer(one, record) for one, record in zip(planned, ended.records, strict=True)]

    def _plan(self, planned: Sequence[Planned]) -> Plan:
        root, jobs = self._sweep.root, tuple(one.job for one in planned)
        return Plan(root.name, root, jobs, KIND, self._created_at, options=self._options.run)

    def _with_gpus(self, plan: Plan) -> Plan:
        """The plan with the GPUs that its jobs divide; later batches of the sweep use the same ones."""
        given = Namespace(gpus=plan.options.gpus or None, max_workers=1 if self._options.workers_given else None)
        try:
            found = with_gpus(plan, given)
        except UserError as error:
            raise LaunchError(*(_of_launcher(problem) for problem in error.problems)) from None
        for notice in found.notices:
            log.info(_of_launcher(notice))
        self._options = replace(self._options, run=found.options, workers_given=True)
        return replace(found, notices=())

    def _selected(self, records: Mapping[str, Record], planned: Sequence[Planned]) -> Selection:
        """A completed job is kept if the sweep is resumed and the return value can be read; else it is run again.

        One that runs on another host is not started.
        """
        completed = {name for name, record in records.items() if record.status == COMPLETED}
        kept = {
            one.job.name
            for one in planned
            if self._options.resume and one.job.name in completed and _order.read_back(one.job.out_dir) is not None
        }
        kept |= {name for name, record in records.items() if record.status == RUNNING}
        jobs = [one.job for one in planned]
        return Selection(
            run=tuple(job for job in jobs if job.name not in kept),
            keep={name: records[name] for name in kept},
            selected=frozenset(records),
            archive=tuple(job for job in jobs if job.name in completed - kept),
        )

    def _whole(self, plan: Plan, planned: Sequence[Planned], selection: Selection) -> Plan:
        """The plan with the jobs of earlier batches, and the requests of those that are run as its files."""
        requests = {
            _planning.specification_file(one.number): self._sweep.start.specify(one.config, str(one.job.out_dir))
            for one in planned
            if one.job.name not in selection.keep
        }
        return replace(plan, jobs=(*(record.job for record in self._earlier), *plan.jobs), files=requests)


def _of_launcher(sentence: str) -> str:
    """A sentence about an option of the command line, as Hydra has it."""
    return sentence.replace("--gpus ", "hydra.launcher.gpus=").replace("--", "hydra.launcher.")


def _answer(one: Planned, record: Record) -> JobReturn:
    """A job's result in Hydra's form."""
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
    answer.status = returned.status
    completed = returned.status is JobStatus.COMPLETED
    sweeper = one.config.hydra.sweeper
    answer.return_value = _objective.for_sweeper(sweeper, returned.value) if completed else returned.value
    return answer


def _why(record: Record) -> str:
    where = f"its logs: {record.job.out_dir}"
    if not isinstance(record.state, Finished):
        return f"job {record.job.name} was not started"
    if record.status == COMPLETED:
        return f"job {record.job.name} ended before it reached the Hydra application; {where}"
    return f"job {record.job.name}: {record.status}: {record.state.outcome.error}; {where}"
