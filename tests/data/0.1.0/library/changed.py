"""An experiment whose code was changed after its results were computed: FACTOR was 2."""

from pathlib import Path

import runner
from runner import Config

FACTOR = 3


@runner.experiment
def changed(config: Config) -> dict[str, float]:
    with Path("starts").open("a") as file:
        file.write(f"{config.name}\n")
    return {"loss": FACTOR * config.lr}


@changed.configs
def configs() -> list[dict[str, object]]:
    return [{"name": "old", "lr": 0.5}]


@changed.report
def report(configs: list[Config], results: list[dict[str, float]]) -> None:
    print(configs[0].name, results[0]["loss"])


if __name__ == "__main__":
    changed.run()
