"""A Hydra application whose jobs end as `do` says; once the file `repaired` is there, every job completes."""

import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config: DictConfig) -> dict[str, float]:
    about = HydraConfig.get()
    start = Path(about.runtime.cwd)
    with (start / "starts").open("a") as file:
        file.write(f"{about.job.num} {config.do}\n")
    do = "complete" if (start / "repaired").exists() else config.do
    print(f"training with learning rate {config.lr}", flush=True)
    if do == "sleep":
        (start / "sleeping").touch()
        time.sleep(600)
    if do == "fail":
        raise ValueError("failed on purpose")
    Path(about.runtime.output_dir, "metrics.jsonl").write_text(f'{{"val/loss": {2 * config.lr}}}\n')
    return {"loss": 2 * config.lr}


if __name__ == "__main__":
    main()
