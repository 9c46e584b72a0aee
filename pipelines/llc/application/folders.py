"""The folders of the application's runs, as a callback of Hydra: every run and sweep gets one of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override

from runner import atomic

TRIES = 1000  # runs that begin in one second


class Folders(Callback):
    """Takes the folder before anything is written, and gives a sweep the .hydra/ that a run has."""

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
    """The three files that a run has, of the whole sweep, and multirun.yaml: only some sweepers write it themselves."""
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
    """Make hydra.<kind>.dir, or one beside it where another run has that. A name without the time is used as it is."""
    section = config.hydra[kind]
    written = OmegaConf.to_container(section, resolve=False)
    assert isinstance(written, dict)
    if "${now:" not in str(written["dir"]):
        return
    try:
        folder = _fresh(str(section.dir))
    except OSError as error:
        _refuse(f"hydra.{kind}.dir: {error.filename} cannot be made ({error.strerror}); choose another")
    with flag_override(section, ["readonly", "struct"], False):
        section.dir = folder
    if kind == "sweep":  # the config of each job is composed anew, from these
        quoted = folder.replace("\\", "\\\\").replace("'", "\\'")
        with flag_override(config.hydra.overrides, ["readonly", "struct"], False):
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir='{quoted}'")


def _fresh(wanted: str) -> str:
    Path(wanted).parent.mkdir(parents=True, exist_ok=True)
    for candidate in (wanted, *(f"{wanted}_{number}" for number in range(1, TRIES))):
        try:
            Path(candidate).mkdir()  # the one of all that try who makes it has it
            return candidate
        except FileExistsError:
            continue
    raise FileExistsError(17, f"{TRIES} of this name exist", wanted)


def _refuse(sentence: str) -> NoReturn:
    """End the program: what a callback raises would be a warning of Hydra's, and then its own error."""
    print(f"train.py: {sentence}", file=sys.stderr)
    sys.exit(2)
