"""Training scripts that say in a comment which keys they take: `# takes: lr depth`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from runner.configs.config_file import ConfigFile
from runner.configs.training_script import Checked, TrainingScript
from runner.core.errors import UserError, did_you_mean


class DeclaredScript(TrainingScript):
    """A script whose keys are known from its comment."""

    def __init__(self, keys: list[str]) -> None:
        self._keys = keys

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        if unknown := [key for key in overrides if key not in self._keys]:
            hints = {key: did_you_mean(key, self._keys, dashes="--") or "remove it" for key in unknown}
            raise UserError(*(f"--{key}: the script does not take this key; {hint}" for key, hint in hints.items()))
        changes = {key: (config.values.get(key), text) for key, text in overrides.items()}
        return Checked({**config.values, **overrides}, dict(overrides), changes)


def recognize(script: Path) -> DeclaredScript | None:
    declared = re.search(r"^# takes: (.*)$", script.read_text(errors="replace"), re.MULTILINE)
    return DeclaredScript(declared[1].split()) if declared else None
