"""How a job's command line is made: from a training script, or from a template of the user's."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.core.text import shown

PLACEHOLDERS = ("config", "out_dir", "name", "overrides", "python")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True, slots=True)
class Command:
    """A training script (`script`, shown as `shown`), or a `template` split into words."""

    script: Path | None = None
    shown: str = ""
    template: tuple[str, ...] = ()

    def seen_from(self, cwd: Path) -> Command:
        """The same command as it is given in `cwd`."""
        return self if self.script is None else replace(self, shown=shown(self.script, cwd))

    def argv(
        self, python: str, config: str, out_dir: str, name: str, overrides: Sequence[str], out_dir_option: str
    ) -> tuple[str, ...]:
        """The command for one config. `overrides` are words of a command line."""
        if self.script is not None:
            launcher = [python, self.shown] if self.script.suffix == ".py" else [str(self.script)]
            return (*launcher, config, f"{out_dir_option}={out_dir}", *overrides)
        values = {
            "config": config, "out_dir": out_dir, "name": name, "python": python, "overrides": shlex.join(overrides),
        }  # fmt: skip
        words: list[str] = []
        for word in self.template:
            if word == "{overrides}":
                words += overrides
            else:
                words.append(_PLACEHOLDER.sub(lambda match: values[match[1]], word))
        return tuple(words)


def errors(template: str) -> list[str]:
    """Sentences on the errors in a --command template."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        return [f"--command: {str(error).lower()}; check its quotes"]
    known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    unknown = [name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS]
    if unknown:
        return [f"--command: {{{unknown[0]}}} is not a placeholder; there are {known}"]
    if "{config}" not in template:
        return ["--command: every job would be the same without {config}; put it where the config's path belongs"]
    if not words:
        return ["--command: is empty; give a command"]
    if not _PLACEHOLDER.search(words[0]) and shutil.which(words[0]) is None:
        return [f"--command: {words[0]!r} is not a program that can be started; check its name or its path"]
    return []
