"""What this checkout adds to the runner: its own training script, and the settings that --help names.

The command line imports this file at its start if it lies beside runner/. So it imports nothing heavy itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runner.configs.registry import SCRIPTS, SETTINGS, Setting
from runner.core.errors import UserError

if TYPE_CHECKING:
    from runner.configs.training_script import TrainingScript

PROJECT = Path(__file__).resolve().parent
SCRIPT = PROJECT / "train_run.py"
SETTINGS_OF_HELP = {
    "batch_size": Setting("override the batch size of every config"),
    "wandb_project": Setting("override the wandb project"),
    "wandb_enabled": Setting("true or false: log to wandb (reaches the job as --wandb_log)", boolean=True),
    "device": Setting("cuda, cuda:1, cpu, mps; a GPU is called cuda, not gpu"),
    "compile": Setting("true or false: use torch.compile", boolean=True),
    "max_iters": Setting("override the number of training iterations"),
    "learning_rate": Setting("override the learning rate"),
    "export_features": Setting(
        "npy, npy+csv or npy+parquet: how a robustness run keeps its feature vectors", dashed=True
    ),
}


def register() -> None:
    """Add all of it to the runner's registries."""
    if str(PROJECT) not in sys.path:  # started from elsewhere, as `overnight` and `python -m runner` are
        sys.path.insert(0, str(PROJECT))
    SCRIPTS.register("project", recognize)
    for name, setting in SETTINGS_OF_HELP.items():
        SETTINGS.register(name, setting)


def recognize(script: Path) -> TrainingScript | None:
    """The adapter for train_run.py of this checkout. Raises UserError where what it needs is not installed."""
    if script.resolve() != SCRIPT:
        return None
    try:
        from pipelines.project_script import ProjectScript
    except ModuleNotFoundError as error:
        raise UserError(f"train_run.py needs {error.name}; pip install -r requirements.txt") from None
    return ProjectScript()
