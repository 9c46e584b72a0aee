"""Every marked line has an error that mypy finds; a line without a mark has none."""

from dataclasses import dataclass

import runner
from runner import Config


@dataclass
class Settings:
    name: str
    lr: float = 0.1


@runner.experiment
def train(config: Settings) -> float:
    print(config.learning_rate)  # wrong: attr-defined
    return config.name  # wrong: return-value


@train.configs  # wrong: arg-type
def configs() -> list[dict[str, float]]:
    return [{"lr": 0.1}]


@runner.experiment
def narrow(config: Config[float]) -> str:
    config.lr.upper()  # wrong: attr-defined
    config.out_dir.upper()  # wrong: attr-defined
    return "done"


@narrow.configs  # wrong: arg-type
def texts() -> list[dict[str, str]]:
    return [{"lr": "high"}]


numbers: list[int] = narrow.run()  # wrong: assignment
narrow.run(rerun=True)  # wrong: call-arg
train(Config(lr=1))  # wrong: arg-type
train.run(output_dir=3)  # wrong: arg-type
print(runner.experimnt)  # wrong: attr-defined
