"""An unknown program: it gets every override as the user wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.configs.config_file import ConfigFile
from runner.configs.overrides import ALIASES, meaning, of_spelling, underscored
from runner.configs.training_script import Checked, TrainingScript, changes, refuse_two_names


@dataclass(frozen=True, slots=True)
class UnknownScript(TrainingScript):
    """Any program. It reads its config itself. Records have its overrides under the config's spelling of their keys."""

    exact_keys = True

    def context(self) -> None:
        """Its configs are not executed: they may be programs."""

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        given = {key: key if of_spelling(key, config.values) in config.values else passed(key) for key in overrides}
        names = {key: of_spelling(given[key], config.values) for key in overrides}
        refuse_two_names(names)
        texts = {names[key]: text for key, text in overrides.items()}
        words = tuple(f"--{given[key]}={text}" for key, text in overrides.items())
        values = {key: meaning(text) for key, text in texts.items()}
        resolved = config.values | values
        return Checked(resolved, texts, changes(config.values, resolved, values), words=words)


def passed(key: str) -> str:
    """The key as the program gets it: as given, but --wandb_enabled is our own name for wandb_log."""
    return ALIASES.get(underscored(key), key)


def recognize(script: Path) -> UnknownScript:
    """The adapter, for any script."""
    return UnknownScript()
