"""A training in the manner of a transformers example: dataclasses that a parser reads, a Trainer's dicts as its log."""

import argparse
import dataclasses
import json
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass, field


@dataclass
class TrainingArguments:
    output_dir: str = field(metadata={"help": "where checkpoints are written"})
    learning_rate: float = 5e-5
    max_steps: int = 30
    per_device_train_batch_size: int = 8
    logging_steps: int = 5
    fp16: bool = False
    pad_token: str = "<pad>"
    pause: float = 0.0
    break_at: int = -1
    resume_from_checkpoint: str | None = None


class HfArgumentParser(argparse.ArgumentParser):
    """An option for each field; --config_file names a JSON file whose values are the defaults."""

    def __init__(self) -> None:
        super().__init__(allow_abbrev=False)
        self.add_argument("--config_file")
        for one in dataclasses.fields(TrainingArguments):
            if one.type is bool or one.type == "bool":
                self.add_argument(f"--{one.name}", action="store_true", default=one.default)
            else:
                kind = {"float": float, "int": int}.get(getattr(one.type, "__name__", ""), str)
                default = None if one.default is dataclasses.MISSING else one.default
                self.add_argument(f"--{one.name}", type=kind, default=default)

    def parse_args_into_dataclasses(self) -> TrainingArguments:
        first = self.parse_args()
        if first.config_file:
            with open(first.config_file) as file:
                self.set_defaults(**json.load(file))
        values = vars(self.parse_args())
        values.pop("config_file")
        return TrainingArguments(**values)


def save(folder: str, step: int, history: list[dict[str, float]]) -> None:
    path = os.path.join(folder, f"checkpoint-{step}")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "model.safetensors"), "wb") as file:
        file.write(b"weights")
    with open(os.path.join(path, "trainer_state.json"), "w") as file:
        json.dump({"global_step": step, "best_metric": None, "log_history": history}, file)


def main() -> None:
    arguments = HfArgumentParser().parse_args_into_dataclasses()
    warnings.warn("`resume_download` is deprecated and will be removed", FutureWarning, stacklevel=1)
    step, history = 0, []
    if arguments.resume_from_checkpoint:
        step = int(re.search(r"checkpoint-(\d+)", arguments.resume_from_checkpoint)[1])
        print(f"Continuing training from global step {step}")
    print("***** Running training *****")
    print(f"  Total optimization steps = {arguments.max_steps}")
    while step < arguments.max_steps:
        step += 1
        if step == arguments.break_at and not arguments.resume_from_checkpoint:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        percent = 100 * step // arguments.max_steps
        sys.stderr.write(f"\r{percent:3d}%|{'#' * (percent // 10):10s}| {step}/{arguments.max_steps} [00:01<00:02,  9.9it/s]")
        sys.stderr.flush()
        if step % arguments.logging_steps == 0:
            epoch = step / arguments.max_steps
            row = {"loss": 3 - epoch, "grad_norm": 1.25, "learning_rate": arguments.learning_rate, "epoch": epoch}
            print(row, flush=True)
            history.append({**row, "step": step})
            save(arguments.output_dir, step, history)
        time.sleep(arguments.pause)
    row = {"eval_loss": 2.125, "eval_runtime": 1.5, "eval_samples_per_second": 99.0, "epoch": 1.0}
    print(row)
    history.append({**row, "step": step})
    save(arguments.output_dir, step, history)
    print({"train_runtime": 3.5, "train_samples_per_second": 50.0, "train_loss": 2.5, "epoch": 1.0})


if __name__ == "__main__":
    main()
