"""Overrides of a batch -> its jobs. Composes configs, as every launcher does; writes and starts nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import filter_overrides
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, flag_override

from hydra_plugins.runner_launcher import _placement, _review
from hydra_plugins.runner_launcher._errors import LaunchError
from hydra_plugins.runner_launcher._order import JOB
from hydra_plugins.runner_launcher._program import Start
from runner.core.job import Job
from runner.disk.layout import INDUCTOR_CACHE, OWN
from runner.planners.environment import additions


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What all jobs of a sweep have in common. `root` is its folder, `config` the one of the whole sweep."""

    root: Path
    config: DictConfig
    context: HydraContext
    start: Start
    not_secret: tuple[str, ...]
    allow_missing: bool
    left: Mapping[str, Path]  # the folders of an earlier sweep's jobs in `root`


@dataclass(frozen=True, slots=True)
class Planned:
    """A job of the engine, and the same job in Hydra's form."""

    job: Job
    number: int
    config: DictConfig
    overrides: tuple[str, ...]


def plan(sweep: Sweeping, batch: Sequence[Sequence[str]], first: int, earlier: Sequence[Job]) -> list[Planned]:
    """The jobs of one batch, numbered from `first`, after those of earlier batches.

    Raises LaunchError, or Hydra's errors on overrides.
    """
    planned = [_planned(sweep, list(overrides), first + number) for number, overrides in enumerate(batch)]
    folders = {f"job {one.number}": one.job.out_dir for one in planned}
    before = {f"the earlier job {job.name}": job.out_dir for job in earlier}
    before |= {
        f"job {name} of an earlier sweep": folder
        for name, folder in sweep.left.items()
        if folder not in (*folders.values(), *before.values())
    }
    problems = list(_placement.problems(sweep.root, folders, before))
    if not sweep.allow_missing:
        problems += _review.missing({one.number: one.job for one in planned})
    if problems:
        raise LaunchError(*problems)
    return planned


def specification_file(number: int) -> str:
    """The file of a job's specification, relative to the folder of the sweep."""
    return f"{OWN}/{number}.pkl"


def _planned(sweep: Sweeping, overrides: list[str], number: int) -> Planned:
    config = sweep.context.config_loader.load_sweep_config(sweep.config, overrides)
    assign(config.hydra.job, id=str(number), num=number)
    assign(config.hydra.sweep, dir=sweep.config.hydra.sweep.dir)  # the locked one, if it is not as configured
    name = _subdir(config)
    folder = Path(os.path.normpath(sweep.root / name))
    assign(config.hydra.runtime, output_dir=str(folder))
    cache = sweep.root / OWN / INDUCTOR_CACHE
    job = Job(
        name=name,
        argv=sweep.start.argv,
        out_dir=folder,
        config=_as_json(OmegaConf.to_container(task_config(config), enum_to_str=True)),
        overrides=dict(_named(config.hydra.overrides.task)),
        env={
            **{
                key: os.environ[key] for key in ("PYTHONPATH",) if key in os.environ
            },  # the process that resumes may have another
            **additions(os.environ, folder, sweep.root.name, name, cache),
            JOB: str(sweep.root / specification_file(number)),
        },
        rerun=sweep.start.by_hand(filter_overrides(overrides)),
        not_secret=sweep.not_secret,
    )
    return Planned(job, number, config, tuple(overrides))


def assign(section: DictConfig, **values: Any) -> None:
    """Set values of Hydra's own part of a config, which is closed."""
    with flag_override(section, ["readonly", "struct"], False):
        section.update(values)


def _subdir(config: DictConfig) -> str:
    """The name of the job's folder. It may contain hydra.job.num, so Hydra gets the job's config for a moment."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    try:
        return str(OmegaConf.select(config, "hydra.sweep.subdir"))
    finally:
        HydraConfig.instance().cfg = before


def task_config(config: DictConfig) -> DictConfig:
    """The application's part."""
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    task._set_parent(None)
    return task


def _as_json(value: Any) -> Any:
    """Interpolations stay as they are written: what `${now:}` gives is another value each time, and the same work."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, float) and not math.isfinite(value):  # JSON does not have such numbers
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _named(overrides: Sequence[str]) -> Iterator[tuple[str, str]]:
    for override in overrides:
        key, _, value = override.partition("=")
        yield key, value
