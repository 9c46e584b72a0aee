"""A training in the manner of Lightning: bars that redraw themselves, metrics.csv, checkpoints in a folder of versions."""

import argparse
import csv
import sys
import time
from pathlib import Path

import yaml


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--default-root-dir", required=True)
    parser.add_argument("--max-epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--ckpt-path")
    arguments = parser.parse_args()
    settings = {"max-epochs": 3, "batch-size": 16, "pause": 0.0, "break-in": None}
    settings |= yaml.safe_load(Path(arguments.config).read_text()) or {}
    given = {key.replace("_", "-"): value for key, value in vars(arguments).items() if value is not None}
    return argparse.Namespace(**{key.replace("-", "_"): value for key, value in {**settings, **given}.items()})


def main() -> None:
    settings = parse()
    folder = Path(settings.default_root_dir, "lightning_logs", "version_0")
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    first = int(Path(settings.ckpt_path).stem.partition("epoch=")[2].partition("-")[0]) + 1 if vars(settings).get(
        "ckpt_path") else 0
    print("GPU available: False, used: False\nTPU available: False, using: 0 TPU cores")
    print("  | Name  | Type   | Params\n---------------------------------\n0 | model | Linear | 11")
    rows = []
    for epoch in range(first, settings.max_epochs):
        for batch in range(1, 5):
            if epoch == settings.break_in and not first:
                raise ValueError("Expected more than 1 value per channel when training")
            loss = 1 / (1 + epoch * 4 + batch)
            bar = "█" * batch + " " * (4 - batch)
            text = f"Epoch {epoch}: {25 * batch:3d}%|{bar}| {batch}/4 [00:00<00:00, 88.1it/s, v_num=0, train_loss={loss:.3f}]"
            sys.stdout.write("\r" + text)
            sys.stdout.flush()
            time.sleep(settings.pause)
        rows.append({"epoch": epoch, "step": 4 * epoch + 3, "train_loss": loss, "val_loss": loss + 0.05})
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["epoch", "step", "train_loss", "val_loss"])
            writer.writeheader()
            writer.writerows(rows)
        (folder / "checkpoints" / f"epoch={epoch}-step={4 * epoch + 4}.ckpt").write_bytes(b"weights")
        print()
    print(f"`Trainer.fit` stopped: `max_epochs={settings.max_epochs}` reached.")


if __name__ == "__main__":
    main()
