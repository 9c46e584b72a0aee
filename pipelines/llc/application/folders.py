"""A folder for each run and sweep of the application, as a callback of Hydra."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override

from runner.disk import atomic

TRIES = 1000  # runs that start in one second


class Folders(Callback):
    """Creates the folder before anything is written, and gives a sweep the .hydra/ that a run has."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _take(config, "run")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _take(config, "sweep")
        if config.hydra.output_subdir is not None:
            folder = Path(config.hydra.sweep.dir) / config.hydra.output_subdir
            try:
                _record(config, folder)
            except OSError as error:
                _refuse(f"hydra.sweep.dir: {error.filename} cannot be written ({error.strerror}); choose another")


def _record(config: DictConfig, folder: Path) -> None:
    """The three files that a run has, for the full sweep, and multirun.yaml, which not all sweepers write."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder.parent / "multirun.yaml", OmegaConf.to_yaml(config).encode())
    parts = {
        "config.yaml": OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]),
        "hydra.yaml": OmegaConf.masked_copy(config, ["hydra"]),
        "overrides.yaml": config.hydra.overrides.task,
    }
    for name, part in parts.items():
        atomic.write_bytes(folder / name, OmegaConf.to_yaml(part).encode())


def _take(config: DictConfig, kind: str) -> None:
    """Create hydra.<kind>.dir, with a number if another run has it. A name without the time is used as it is."""
    section = config.hydra[kind]
    written = OmegaConf.to_container(section, resolve=False)
    assert isinstance(written, dict)
    if "${now:" not in str(written["dir"]):
        return
    try:
        folder = _create(str(section.dir))
    except OSError as error:
        _refuse(f"hydra.{kind}.dir: {error.filename} cannot be created ({error.strerror}); choose another")
    with flag_override(section, ["readonly", "struct"], False):
        section.dir = folder
    if kind == "sweep":  # the config of each job is composed from these again
        quoted = folder.replace("\\", "\\\\").replace("'", "\\'")
        with flag_override(config.hydra.overrides, ["readonly", "struct"], False):
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")


def _create(requested: str) -> str:
    Path(requested).parent.mkdir(parents=True, exist_ok=True)
    for candidate in (requested, *(f"{requested}_{number}" for number in range(1, TRIES))):
        try:
            Path(candidate).mkdir()  # only one of several processes succeeds
            return candidate
        except FileExistsError:
            continue
    raise FileExistsError(17, f"{TRIES} of this name exist", requested)


def _refuse(sentence: str) -> NoReturn:
    """End the program: Hydra turns an exception of a callback into a warning, and then fails with its own error."""
    print(f"train.py: {sentence}", file=sys.stderr)
    sys.exit(2)
