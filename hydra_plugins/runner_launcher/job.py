"""What runs in the process of a job: a sweeper that does the one job of its order, whatever is to be swept.

The launcher starts the application's program again, as `app.py --config-name runner_job --multirun`. So the program is
`__main__` there as it always is, nothing in it has to be pickled, and Hydra itself hands over the task function. The
config named here keeps the application's own out of it: the order holds the one that counts, complete.
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
_QUIET = {"override hydra/hydra_logging": "none"}  # the order says how this job logs
_STORE.store(name=CONFIG, node={"defaults": [{"override hydra/sweeper": CONFIG}, _QUIET, "_self_"]}, provider="runner")


class RunnerJob(Sweeper):
    """Does one job. `python app.py hydra/sweeper=runner_job` of a person's is refused."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context = hydra_context
        self.config = config
        self._task = task_function

    def sweep(self, arguments: list[str]) -> Any:
        from hydra_plugins.runner_launcher import _order
        from hydra_plugins.runner_launcher._mistake import Mistake

        path = _order.given()
        if path is None:
            raise Mistake(f"{CONFIG} is for the processes that hydra/launcher=runner starts; choose another sweeper")
        assert self.hydra_context is not None
        done = _order.perform(_order.read(path), self.hydra_context, self._task)
        return done.return_value  # raises what the task function raised, and Hydra prints it
