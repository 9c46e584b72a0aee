"""The kinds of training scripts, and the settings that --help lists. Light: the command line always imports it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """A key of the configs that --help lists. `of_trees`: the programs in runners/ list it in their help, too."""

    help: str
    boolean: bool = False
    of_trees: bool = False


#: Settings that many training scripts have.
COMMON: Mapping[str, Setting] = {
    "batch_size": Setting("override the batch size of every config"),
    "wandb_project": Setting("override the wandb project"),
    "wandb_enabled": Setting("true or false: log to wandb (reaches the job as --wandb_log)", boolean=True),
    "device": Setting("cuda, cuda:1, cpu, mps; a GPU is called cuda, not gpu", of_trees=True),
    "compile": Setting("true or false: use torch.compile", boolean=True),
    "max_iters": Setting("override the number of training iterations"),
    "learning_rate": Setting("override the learning rate"),
}
SETTINGS: Registry[Mapping[str, Setting]] = Registry(
    "runner.settings", "group of settings", {"common": "runner.configs.registry:COMMON"}
)


def documented_settings() -> dict[str, Setting]:
    """The settings that --help lists: the common ones, and those that this checkout registered."""
    return {key: setting for name in SETTINGS.local_names() for key, setting in SETTINGS.get(name).items()}
