"""What Optuna's sweeper needs of us. An objective that it cannot store becomes text, which it takes for a failed trial.

It converts what a job returned to floats, and a value that it cannot convert makes the trial fail. NaN, or a wrong
number of objectives, passes that check, and Optuna then refuses to store the failed trial, which would end the sweep.
"""

from __future__ import annotations

import math
from typing import Any

from omegaconf import DictConfig, OmegaConf

OPTUNA = "hydra_plugins.hydra_optuna_sweeper."
SAME_TRIALS = (
    "; Optuna repeats its trials only with the same hydra.sweeper.sampler.seed, and without hydra.sweeper.storage"
)


def for_sweeper(sweeper: DictConfig, returned: Any) -> Any:
    """What a completed job returned, or a text on why that is not an objective; `sweeper` is hydra.sweeper."""
    if not is_optuna(sweeper):
        return returned
    direction = OmegaConf.select(sweeper, "direction")
    objectives = len(direction) if OmegaConf.is_list(direction) else 1
    try:
        values = [float(returned)] if objectives == 1 else [float(value) for value in returned]
    except (ValueError, TypeError):
        return returned  # the sweeper finds this itself
    if len(values) != objectives:
        return f"not {objectives} objectives: {returned}"
    return f"not a number: {returned}" if any(map(math.isnan, values)) else returned


def is_optuna(sweeper: DictConfig) -> bool:
    return str(sweeper.get("_target_")).startswith(OPTUNA)
