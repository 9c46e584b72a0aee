"""A dataclass as the type of a config: its fields are checked in the function and in the configs."""

from dataclasses import dataclass
from pathlib import Path
from typing import assert_type

import runner


@dataclass(frozen=True)
class Settings:
    name: str
    lr: float = 0.1
    out_dir: Path = Path()


@runner.experiment
def train(config: Settings) -> float:
    assert_type(config.lr, float)
    (config.out_dir / "model.pt").touch()
    return config.lr


@train.configs
def configs() -> list[Settings]:
    return [Settings("a"), Settings("b", lr=0.2)]


if __name__ == "__main__":
    assert_type(train.run(), list[float])
