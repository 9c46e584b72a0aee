"""The job specification for a job's process and its return value: two pickles in the folder of the sweep. Only the
user's own processes, which could have written them, read them. Stored pickles contain the names `_order`, `Order` and
`Returned`: these must not change.
"""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.runner_launcher._errors import JobFailed, LaunchError
from runner.core import redact
from runner.core.printing import say
from runner.disk import atomic
from runner.disk.layout import JOB_ERROR, RETURN_VALUE
from runner.disk.reading import open_regular

JOB = "RUNNER_HYDRA_JOB"  # in the environment of a process that was started for one job: the file of its specification


_TAKEN: list[str] = []  # the specification that this process has taken


@dataclass(frozen=True, slots=True)
class Order:
    """One job's specification. `config` is complete, with values of resolvers, such as the time of the sweep.

    `callbacks` are those of the sweep with their state, or None if they cannot be pickled.
    """

    config: DictConfig
    folder: str
    callbacks: Callbacks | None
    task: str | None = None  # the name of the task function; a program may have several

    def is_for(self, task: TaskFunction) -> bool:
        """Whether the job is one of this task function; specifications of version 0.1.0 do not name it."""
        return getattr(self, "task", None) in (None, name_of(task))


@dataclass(frozen=True, slots=True)
class Returned:
    """How the task function ended: its return value, or the exception that it raised.

    `lost` is why the return value could not be pickled.
    """

    status: JobStatus
    value: Any
    working_dir: str | None
    task_name: str | None
    lost: str | None = None


def name_of(task: TaskFunction) -> str:
    return f"{getattr(task, '__module__', '')}:{getattr(task, '__qualname__', type(task).__qualname__)}"


def given() -> Path | None:
    """The specification that this process was started for. It is removed: programs that this one starts have none."""
    path = os.environ.pop(JOB, None)
    return None if path is None else Path(path)


def taken(task: TaskFunction) -> Order | None:
    """The specification for this task function; None if the process is there for another one, or has done its job.

    Raises LaunchError in a process that was not started for a job.
    """
    path = os.environ.get(JOB)
    if path is None:
        if _TAKEN:
            return None
        raise LaunchError("runner_job is for the processes that hydra/launcher=runner starts; choose another sweeper")
    found = read(Path(path))
    if not found.is_for(task):
        atexit.register(_fail_if_not_taken, found.task)
        return None
    given()
    _TAKEN.append(path)
    return found


def _fail_if_not_taken(task: str | None) -> None:
    """End with exit code 1: a program whose function was renamed would have done nothing, and count as completed."""
    if not _TAKEN:
        say(f"the job is one of {task}, which the program does not give to Hydra any more", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def refuse_sweep() -> None:
    """Raise LaunchError in a process that was started for a job, and is about to start a sweep instead.

    Each of its jobs would start a sweep as well, without end.
    """
    path = os.environ.get(JOB)
    if path is not None:
        sweep = Path(path).parent.parent
        raise LaunchError(
            f"hydra/launcher=runner: this process was started for a job of the sweep in {sweep}, and starts a sweep "
            "instead; let the program extend sys.argv, not replace it (a sweep that it starts before @hydra.main needs "
            f"an environment without {JOB})"
        )


def perform(
    specification: Order, context: HydraContext, task: TaskFunction, dumps: Callable[[Any], bytes] = pickle.dumps
) -> JobReturn:
    """Run the job in this process, and write its return value into its folder. The result raises its exception."""
    from hydra.core.utils import run_job

    try:
        done = run_job(
            hydra_context=HydraContext(
                context.config_loader, specification.callbacks or Callbacks(specification.config)
            ),
            task_function=task,
            config=specification.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except SystemExit as left:
        if left.code not in (None, 0):
            raise
        done = JobReturn(status=JobStatus.COMPLETED)  # sys.exit() is a normal end
    returned = Returned(done.status, done._return_value, done.working_dir, done.task_name)
    if returned.status is JobStatus.FAILED:
        _note(specification.folder, returned.value)
    atomic.write_bytes(Path(specification.folder) / RETURN_VALUE, _portable(returned, dumps))
    return done


def _note(folder: str, error: BaseException) -> None:
    """error.json, which the runner reads: the traceback from the task function on, without Hydra's frames and ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name != "run_job":
        trace = trace.tb_next
    inner = trace.tb_next if trace is not None else error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, inner))
    record = {"schema": 1, "type": type(error).__name__, "message": redact.text(str(error))}
    record["traceback"] = redact.text(text)
    atomic.write_json(Path(folder) / JOB_ERROR, record)


def _portable(returned: Returned, dumps: Callable[[Any], bytes]) -> bytes:
    """Pickled, and checked that it can be read; a value that cannot is replaced by a sentence."""
    try:
        content = dumps(returned)
        pickle.loads(content)
        return content
    except Exception as error:  # whatever the classes in it raise
        kind, completed = type(returned.value).__name__, returned.status is JobStatus.COMPLETED
        lost = f"the {kind} that it returned cannot be pickled ({type(error).__name__}: {error}), and becomes None"
        say(lost, file=sys.stderr)
        value = None if completed else JobFailed(f"{kind}: {returned.value}")
        return pickle.dumps(replace(returned, value=value, lost=lost if completed else None))


def read_back(folder: Path) -> Returned | None:
    """What the job in `folder` returned; None if there is nothing that can be read."""
    try:
        with open_regular(str(folder / RETURN_VALUE)) as file:
            found = pickle.load(file)
    except Exception:  # OSError, or whatever the classes in it raise
        return None
    return found if isinstance(found, Returned) else None


def read(path: Path) -> Order:
    """The specification that the launcher wrote. Raises LaunchError."""
    try:
        with open_regular(str(path)) as file:
            found = pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise LaunchError(f"{path}: the specification of this job cannot be read ({cause})") from error
    assert isinstance(found, Order)
    return found
