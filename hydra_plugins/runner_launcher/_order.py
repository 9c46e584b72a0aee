"""What goes to a job's process and what comes back: two pickles. They are read by who could have written them only:
the user's own processes, in the folder of the sweep.
"""

from __future__ import annotations

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

from hydra_plugins.runner_launcher._mistake import JobFailed, Mistake
from runner.disk import atomic
from runner.disk.layout import JOB_ERROR
from runner.disk.reading import open_regular

JOB = "RUNNER_HYDRA_JOB"  # in the environment of a process that was started for one job: the file of its order
RETURNED = "return_value.pkl"  # in the job's folder


@dataclass(frozen=True, slots=True)
class Order:
    """One job. `config` is complete, with the values that resolvers gave already, such as the time of the sweep.

    `callbacks` are those of the sweep with what they remember, or None if they cannot be pickled.
    """

    config: DictConfig
    folder: str
    callbacks: Callbacks | None


@dataclass(frozen=True, slots=True)
class Returned:
    """How the task function ended: what it returned, or the exception that left it.

    `lost` says why what it returned did not come through.
    """

    status: JobStatus
    value: Any
    working_dir: str | None
    task_name: str | None
    lost: str | None = None


def given() -> Path | None:
    """The order that this process was started for. Taken away: programs that it starts are not."""
    path = os.environ.pop(JOB, None)
    return None if path is None else Path(path)


def perform(
    order: Order, context: HydraContext, task: TaskFunction, dumps: Callable[[Any], bytes] = pickle.dumps
) -> JobReturn:
    """Do the job in this process, and leave what it returned in its folder. What it raises is raised by the result."""
    from hydra.core.utils import run_job

    try:
        done = run_job(
            hydra_context=HydraContext(context.config_loader, order.callbacks or Callbacks(order.config)),
            task_function=task,
            config=order.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
    except SystemExit as left:
        if left.code not in (None, 0):
            raise
        done = JobReturn(status=JobStatus.COMPLETED)  # sys.exit() is a way to be done
    returned = Returned(done.status, done._return_value, done.working_dir, done.task_name)
    if returned.status is JobStatus.FAILED:
        _note(order.folder, returned.value)
    atomic.write_bytes(Path(order.folder) / RETURNED, _portable(returned, dumps))
    return done


def _note(folder: str, error: BaseException) -> None:
    """error.json, which the runner reads: the traceback from the task function on, without Hydra's frames and ours."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_name != "run_job":
        trace = trace.tb_next
    inner = trace.tb_next if trace is not None else error.__traceback__
    text = "".join(traceback.format_exception(type(error), error, inner))
    record = {"schema": 1, "type": type(error).__name__, "message": str(error), "traceback": text}
    atomic.write_json(Path(folder) / JOB_ERROR, record)


def _portable(returned: Returned, dumps: Callable[[Any], bytes]) -> bytes:
    """Pickled, and certain to be read again; of what cannot be, words are left."""
    try:
        content = dumps(returned)
        pickle.loads(content)
        return content
    except Exception as error:  # whatever the classes in it raise
        kind, completed = type(returned.value).__name__, returned.status is JobStatus.COMPLETED
        lost = f"the {kind} that it returned cannot be pickled ({type(error).__name__}: {error}), and becomes None"
        print(lost, file=sys.stderr)
        value = None if completed else JobFailed(f"{kind}: {returned.value}")
        return pickle.dumps(replace(returned, value=value, lost=lost if completed else None))


def read_back(folder: Path) -> Returned | None:
    """What the job in `folder` left; None if it left nothing that can be read."""
    try:
        with open_regular(str(folder / RETURNED)) as file:
            found = pickle.load(file)
    except Exception:  # OSError, or whatever the classes in it raise
        return None
    return found if isinstance(found, Returned) else None


def read(path: Path) -> Order:
    """The order that the launcher wrote. Raises Mistake."""
    try:
        with open_regular(str(path)) as file:
            found = pickle.load(file)
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise Mistake(f"{path}: the order of this job cannot be read ({type(error).__name__}: {error})") from error
    assert isinstance(found, Order)
    return found
