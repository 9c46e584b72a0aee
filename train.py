#!/usr/bin/env python3
"""Estimate local learning coefficients: python train.py model=small, or a sweep: python train.py -m model=small,base"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH

from runner.cli import interpreter

if __name__ == "__main__":
    interpreter.use_own()
try:
    import hydra
    from omegaconf import DictConfig
except ImportError:
    print("train.py: Hydra is missing; pip install -r requirements.txt", file=sys.stderr)
    sys.exit(2)

from pipelines.llc.application import hydra_run, rerun
from pipelines.shared import stacks
from pipelines.shared.errors import InputError


@hydra.main(version_base="1.3", config_path="config/llc", config_name="config")
def train(config: DictConfig) -> None:
    stacks.show_on_request()
    hydra_run.run(config)


if __name__ == "__main__":
    try:
        sys.argv[1:] = rerun.arguments_for_hydra(sys.argv[1:])
    except InputError as error:
        print(f"train.py: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        train()
    except KeyboardInterrupt:  # before the pipeline handles signals: nothing is partially written
        sys.exit(130)
