"""The documented example, and the types of bare and parametrized Configs."""

from pathlib import Path
from typing import assert_type

import runner
from runner import Config, Experiment


@runner.experiment
def train(config: Config) -> dict[str, float]:
    (config.out_dir / "model.pt").write_bytes(b"")
    return {"accuracy": config.learning_rate * config.optimizer.lr}


@train.configs
def configs() -> list[dict[str, object]]:
    return [{"name": "fast", "learning_rate": 0.01}]


@train.report
def report(configs: list[Config], results: list[dict[str, float]]) -> None:
    for config, result in zip(configs, results, strict=True):
        print(config["name"], result["accuracy"])


@runner.experiment(version=2)
def narrow(config: Config[float]) -> float:
    assert_type(config.lr, float)
    assert_type(config["lr"], float)
    assert_type(config.out_dir, Path)
    return config.lr


assert_type(train, Experiment[Config, dict[str, float]])
assert_type(train.run(), list[dict[str, float]])
assert_type(train.run(configs=lambda: [{"name": "a"}], output_dir="results/"), list[dict[str, float]])
assert_type(narrow.run(args=["--rerun"]), list[float])
assert_type(train(Config(learning_rate=1.0)), dict[str, float])
train.results().to_frame()
