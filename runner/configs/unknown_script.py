"""An unknown program: it gets every override as the user wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.configs.config_file import ConfigFile
from runner.configs.overrides import ALIASES, meaning
from runner.configs.training_script import Checked, TrainingScript, changes, normalized


@dataclass(frozen=True, slots=True)
class UnknownScript(TrainingScript):
    """Any program. It reads its config itself."""

    def context(self) -> None:
        """Its configs are not executed: they may be programs."""

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        given = normalized(overrides)
        texts = {ALIASES.get(key, key) if key not in config.values else key: text for key, text in given.items()}
        values = {key: meaning(text) for key, text in texts.items()}
        resolved = config.values | values
        return Checked(resolved, texts, changes(config.values, resolved, values))


def recognize(script: Path) -> UnknownScript:
    """The adapter, for any script."""
    return UnknownScript()
