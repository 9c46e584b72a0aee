"""`--config-dir outputs/…/.hydra/`: repeat the run there. Reads the record of the run; runs nothing.

Hydra only adds that folder to its search path for configs, behind the application's own, and so would silently run
the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from pipelines.shared.errors import InputError

NAME = "recorded"
FILES = ("config.yaml", "hydra.yaml", "overrides.yaml")  # what Hydra writes into .hydra/


def arguments_for_hydra(arguments: Sequence[str]) -> list[str]:
    """The arguments for Hydra; if they name the record of a run, they select its config. Raises InputError."""
    given = get_args_parser().parse_known_args(list(arguments))[0]
    record = _record(Path(given.config_dir)) if given.config_dir is not None else None
    if record is None:
        return list(arguments)
    if (record.parent / "multirun.yaml").exists():
        raise InputError(f"--config-dir {given.config_dir}: {_about_sweep(record)}")
    store(record)
    named = given.config_name is not None  # by the runner's launcher, which starts this program for each job
    return list(arguments) if named else [*arguments, "--config-name", NAME]


def store(record: Path) -> None:
    """Register the config of a run with Hydra as `recorded`. Raises InputError."""
    path = record / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{path}: does not have a config; name the .hydra folder of another run")
    node = {"defaults": ["folders", "_self_"], **config}
    ConfigStore.instance().store(name=NAME, node=OmegaConf.create(node))


def _record(folder: Path) -> Path | None:
    """The record: the folder itself or, in the folder of a run, its .hydra. None: a folder of other configs."""
    for candidate in (folder, folder / ".hydra"):
        if all((candidate / name).is_file() for name in FILES):
            return candidate
    return None


def _about_sweep(record: Path) -> str:
    overrides = " ".join(OmegaConf.to_object(OmegaConf.load(record / "overrides.yaml")))
    again = f"python train.py -m {overrides}".strip()
    return f"belongs to a sweep; to repeat it use {again}, or name the .hydra of one of its jobs"
