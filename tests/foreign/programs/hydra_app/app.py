"""An application of Hydra: its config comes from a folder of YAML files, its settings from key=value."""

import logging
import time
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path=None)
def main(cfg: DictConfig) -> None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    state = folder / "checkpoints" / "last.pt"
    state.parent.mkdir(parents=True, exist_ok=True)
    step = int(Path(cfg.resume).read_text()) if cfg.get("resume") else 0
    try:
        while step < cfg.trainer.steps:
            step += 1
            if step == cfg.get("break_at") and not cfg.get("resume"):
                raise KeyError(cfg.optimizer.name)
            log.info("step %d/%d - train_loss: %.4f - val_acc: %.3f", step, cfg.trainer.steps, 1 / step, 1 - 1 / (step + 1))
            time.sleep(cfg.get("pause", 0))
    finally:
        state.write_text(str(step))


if __name__ == "__main__":
    main()
