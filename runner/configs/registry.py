"""The kinds of training scripts, and the settings that --help names. Light: the command line imports it at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runner.core.registry import Registry

if TYPE_CHECKING:
    from runner.configs.training_script import TrainingScript

#: The adapter for a script, or None where the script is not of its kind.
Recognizer = Callable[[Path], "TrainingScript | None"]

SCRIPTS: Registry[Recognizer] = Registry(
    "runner.scripts",
    "kind of training script",
    {
        "nanogpt": "runner.configs.nanogpt:recognize",
        "argparse": "runner.configs.argparse_script:recognize",
        "unknown": "runner.configs.unknown_script:recognize",
    },
)


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the configs that --help names: `help` says what it is for; `dashed`: shown as --max-iters there."""

    help: str
    boolean: bool = False
    dashed: bool = False


SETTINGS: Registry[Setting] = Registry("runner.settings", "setting", {})
