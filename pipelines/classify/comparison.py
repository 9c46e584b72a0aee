"""Compare the runs of one experiment: a row for each folder with an evaluation.json. Draws nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.core.csv_text import as_csv

EVALUATION = "evaluation.json"
IGNORED = {
    "out_dir",
    "init_from",
    "device",
    "show",
    "log_interval",
    "wandb_log",
    "wandb_project",
    "wandb_run_name",
}


@dataclass(frozen=True, slots=True)
class Run:
    name: str  # of its folder
    settings: dict[str, Any]
    accuracy: float
    loss: float


def runs_beside(out_dir: Path) -> list[Run]:
    """The evaluated runs in the parent folder of `out_dir`, by name; without those that cannot be read."""
    found = []
    for path in sorted(out_dir.resolve().parent.glob(f"*/{EVALUATION}")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            found.append(Run(path.parent.name, record["settings"], record["accuracy"], record["loss"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # another program's file, or one of a later schema
    return found


def differing(runs: Sequence[Run]) -> list[str]:
    """The settings that are not the same in all runs."""
    keys = sorted({key for run in runs for key in run.settings} - IGNORED)
    return [key for key in keys if len({json.dumps(run.settings.get(key)) for run in runs}) > 1]


def labels(runs: Sequence[Run]) -> list[str]:
    """Label each run by the settings that differ, or by its folder if none does."""
    keys = differing(runs)
    return [", ".join(f"{key}={run.settings.get(key)}" for key in keys) or run.name for run in runs]


def table(runs: Sequence[Run]) -> str:
    """As CSV: the run, the settings that differ, accuracy and loss."""
    keys = differing(runs)
    rows = ([run.name, *(cell(run.settings.get(key)) for key in keys), run.accuracy, run.loss] for run in runs)
    return as_csv(["run", *keys, "accuracy", "loss"], rows)


def cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
