"""The program in the process of a job: a sweeper that runs the one job of its specification, whatever is swept.

The launcher starts the application's program again, as `app.py --config-name runner_job --multirun`. So the program is
`__main__` there as usual, nothing in it has to be pickled, and Hydra itself passes the task function. The config
defined here replaces the application's own: the complete one is in the specification.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

CONFIG = "runner_job"

_STORE = ConfigStore.instance()
_STORE.store(group="hydra/sweeper", name=CONFIG, node={"_target_": f"{__name__}.RunnerJob"}, provider="runner")
_QUIET = {"override hydra/hydra_logging": "none"}  # the specification has the logging of this job
_STORE.store(name=CONFIG, node={"defaults": [{"override hydra/sweeper": CONFIG}, _QUIET, "_self_"]}, provider="runner")


class RunnerJob(Sweeper):
    """Runs one job. `python app.py hydra/sweeper=runner_job` on a command line is refused."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self._task = task_function

    def sweep(self, arguments: list[str]) -> Any:
        from hydra_plugins.runner_launcher import _order

        specification = _order.taken(self._task)
        if specification is None:  # the program calls several functions of @hydra.main
            return None
        assert self.hydra_context is not None
        done = _order.perform(specification, self.hydra_context, self._task)
        return done.return_value  # raises what the task function raised, and Hydra prints it
