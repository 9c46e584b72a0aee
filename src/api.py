"""pipelines/robustness as an API: read a config, run it in this process, get the result in memory.

    from src.api import ExperimentConfig, run_pipeline
    result = run_pipeline(ExperimentConfig.from_yaml("config/VECTOR/rings_pgd.yaml"))
    result.attack_test.meta["success_rate"]

Nothing is written. `python train_run.py CONFIG --out_dir=DIR` does the same work and writes all files.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import configurator
from pipelines.robustness.settings import RobustnessSettings
from runner.configs import inheritance
from runner.configs.config_file import ConfigFile

if TYPE_CHECKING:
    from pipelines.robustness.evaluation import Result


class ExperimentConfig(RobustnessSettings):
    """The settings of a run. Both readers raise runner.UserError, whose text has every error."""

    @classmethod
    def from_yaml(cls, path: str | PathLike[str]) -> Self:
        """The settings of a file; its folder decides what it leaves open, as in config/VECTOR/x.yaml."""
        return cls._resolved(inheritance.read(Path(path)), by_path=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        return cls._resolved(ConfigFile(Path("config"), b"", dict(values), {}), by_path=False)

    @classmethod
    def _resolved(cls, config: ConfigFile, *, by_path: bool) -> Self:
        found = configurator.resolve_for(cls, config, {}, by_path=by_path)
        assert isinstance(found, cls)
        return found


def run_pipeline(cfg: RobustnessSettings) -> Result:
    """Train, attack and evaluate. `attack_test.meta` has adv_mask and success_rate; eval_ood is None where
    ood.enabled is false. Raises pipelines.shared.errors.InputError for input errors."""
    from pipelines.robustness import train

    return train.compute(cfg)
