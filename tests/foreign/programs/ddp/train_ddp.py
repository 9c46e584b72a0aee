"""A data-parallel training that torchrun starts: gloo, an all_reduce in each step, a checkpoint of the first rank."""

import argparse
import json
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("--out_dir", required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--resume")
    given = {key: value for key, value in vars(parser.parse_args()).items() if value is not None}
    settings = {"steps": 20, "lr": 0.1, "pause": 0.0, "break_at": -1, "resume": None}
    settings |= json.loads(Path(given.pop("config")).read_text())
    settings |= given
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    folder = Path(settings["out_dir"])
    done = json.loads(Path(settings["resume"]).read_text())["step"] if settings["resume"] else 0
    try:
        for step in range(done + 1, settings["steps"] + 1):
            loss = torch.tensor([1.0 / step + rank])
            dist.all_reduce(loss)
            if step == settings["break_at"] and rank == 1 and not settings["resume"]:
                raise ValueError(f"the data of rank {rank} is empty")
            done = step
            if rank == 0:
                print(f"[{step}/{settings['steps']}] step={step} loss={loss.item() / world:.4f}", flush=True)
            time.sleep(settings["pause"])
    finally:
        if rank == 0:
            (folder / "last.ckpt.part").write_text(json.dumps({"step": done, "pid": os.getpid()}))
            os.replace(folder / "last.ckpt.part", folder / "last.ckpt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
