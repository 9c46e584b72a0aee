"""An experiment whose configs end as `do` says; once the file `repaired` is there, each of them has a result."""

import time
from pathlib import Path

import runner
from runner import Config


@runner.experiment
def experiment(config: Config) -> dict[str, float]:
    with Path("starts").open("a") as file:
        file.write(f"{config.name}\n")
    do = "complete" if Path("repaired").exists() else config.do
    (config.out_dir / "notes.txt").write_text(f"{config.lr}\n")
    if do == "sleep":
        Path("sleeping").touch()
        time.sleep(600)
    if do == "fail":
        raise ValueError("failed on purpose")
    return {"loss": 2 * config.lr}


@experiment.configs
def configs() -> list[dict[str, object]]:
    return [
        {"name": "complete", "do": "complete", "lr": 0.1},
        {"name": "equal", "do": "complete", "lr": 0.1},
        {"name": "broken", "do": "fail", "lr": 0.2},
        {"name": "sleeper", "do": "sleep", "lr": 0.3},
        {"name": "waiting", "do": "complete", "lr": 0.4},
        {"name": "isolated", "do": "complete", "lr": 0.6},
    ]


@experiment.report
def report(configs: list[Config], results: list[dict[str, float]]) -> None:
    for config, result in zip(configs, results, strict=True):
        print(config.name, result["loss"])


if __name__ == "__main__":
    experiment.run()
