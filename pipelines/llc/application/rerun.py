"""`--config-dir outputs/…/.hydra/`: run what was run there. Reads the record of the run; runs nothing.

Hydra only adds that folder to the places where configs are found, behind the application's own, and so would run the
defaults without a word.
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


def words(arguments: Sequence[str]) -> list[str]:
    """The arguments for Hydra; where they name the record of a run, its config is the one to be run. Raises InputError."""
    given = get_args_parser().parse_known_args(list(arguments))[0]
    record = _record(Path(given.config_dir)) if given.config_dir is not None else None
    if record is None:
        return list(arguments)
    if (record.parent / "multirun.yaml").exists():
        raise InputError(f"--config-dir {given.config_dir}: {_about_sweep(record)}")
    store(record)
    named = given.config_name is not None  # by the runner's launcher, which starts us again for each job
    return list(arguments) if named else [*arguments, "--config-name", NAME]


def store(record: Path) -> None:
    """Make the config of a run known to Hydra as `recorded`. Raises InputError."""
    path = record / "config.yaml"
    try:
        config = OmegaConf.load(path)
    except (OSError, YAMLError, OmegaConfBaseException) as error:
        raise InputError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    if not isinstance(config, DictConfig):
        raise InputError(f"{path}: holds no config; name the .hydra folder of another run")
    node = {"defaults": ["folders", "_self_"], **config}
    ConfigStore.instance().store(name=NAME, node=OmegaConf.create(node))


def _record(folder: Path) -> Path | None:
    """The record that is meant: the folder itself or, of a run's folder, the one in it. None: other configs."""
    for candidate in (folder, folder / ".hydra"):
        if all((candidate / name).is_file() for name in FILES):
            return candidate
    return None


def _about_sweep(record: Path) -> str:
    overrides = " ".join(OmegaConf.to_object(OmegaConf.load(record / "overrides.yaml")))
    again = f"python train.py -m {overrides}".strip()
    return f"is a sweep's; to repeat it type {again}, or name the .hydra of one of its jobs"
