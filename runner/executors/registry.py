"""The executors by name: the built-in ones, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.core.registry import Registry
from runner.engine.protocols import Executor


class ExecutorFactory(Protocol):
    """An entry of the registry: a function, or a class whose constructor takes these two arguments.

    `provenance` returns what experiment_metadata.json of a job contains about the machine and the code: JSON values.
    """

    def __call__(self, options: RunOptions, provenance: Callable[[Job], Mapping[str, Any]]) -> Executor: ...


EXECUTORS: Registry[ExecutorFactory] = Registry(
    "runner.executors", "executor", {"local": "runner.executors.local:Local", "slurm": "runner.executors.slurm:Slurm"}
)


def adopts_elsewhere(options: RunOptions) -> bool:
    """Whether the executor of a batch finds jobs that run on other hosts again. Raises UserError for an unknown one."""
    return options.executor != "local" and getattr(EXECUTORS.get(options.executor), "ELSEWHERE", False)
