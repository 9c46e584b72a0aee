"""What the pipelines register with the runner: their training script, and a setting that --help names. Light."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runner.configs.registry import Setting
from runner.core.errors import UserError

if TYPE_CHECKING:
    from runner.configs.training_script import TrainingScript

SCRIPT = Path(__file__).resolve().parents[1] / "train_run.py"
DOCUMENTED_SETTINGS = {
    "export_features": Setting(
        "npy, npy+csv or npy+parquet: how a robustness run keeps its feature vectors", of_trees=True
    ),
}


def recognize(script: Path) -> TrainingScript | None:
    """The adapter for train_run.py of this checkout. Raises UserError where what it needs is not installed."""
    if script.resolve() != SCRIPT:
        return None
    try:
        from pipelines.project_script import ProjectScript  # every script is asked about, and pydantic takes its time
    except ModuleNotFoundError as error:
        raise UserError(f"train_run.py needs {error.name}; pip install -r requirements.txt") from None
    return ProjectScript()
