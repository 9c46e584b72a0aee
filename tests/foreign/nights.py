"""A night with a program that is not ours: its configs, how it is started, and what is expected in the morning."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Workspace

PROGRAMS = Path(__file__).parent / "programs"


@dataclass(frozen=True)
class Night:
    """A program, the words that start it, and its three configs: `a_good`, `b_breaks` and `c_long`.

    `words` follow `--configs "conf/*"`. `cause` is part of the error of b_breaks, `metrics` are columns of the table,
    and `started` is what c_long has printed when it is stopped.
    """

    program: str
    suffix: str
    configs: Mapping[str, str]
    words: Sequence[str]
    cause: str
    metrics: Sequence[str]
    started: str

    def prepare(self, work: Workspace) -> None:
        """Copy the program and write its configs into the workspace."""
        shutil.copytree(PROGRAMS / self.program, work.folder, dirs_exist_ok=True)
        for name, text in self.configs.items():
            work.write(f"conf/{name}{self.suffix}", text)


def _json(**settings: Any) -> str:
    return json.dumps(settings) + "\n"


NANOGPT = Night(
    program="nanogpt",
    suffix=".py",
    configs={
        name: "import time\n\n"
        "wandb_run_name = 'ft-' + str(time.time())\n"
        f"lr_decay_iters = max_iters\nlearning_rate = {rate}\n{more}"
        for name, rate, more in [
            ("a_good", 0.1, ""), ("b_breaks", 0.2, "break_at = 12\n"), ("c_long", 0.3, "pause = 0.15\n"),
        ]
    },
    words=("--train_script", "train.py"),
    cause="device-side assert triggered at iteration 12",
    metrics=("train/loss", "val/loss"),
    started="iter 3:",
)
HUGGINGFACE = Night(
    program="huggingface",
    suffix=".json",
    configs={
        "a_good": _json(max_steps=20),
        "b_breaks": _json(max_steps=20, break_at=12),
        "c_long": _json(max_steps=30, pause=0.15),
    },
    words=(
        "--command", "python run_clm.py --config_file {config} --output_dir {out_dir} {overrides:flags}",
        "--learning_rate", "1e-4", "--fp16", "true",
        "--resume_args", "--resume_from_checkpoint {checkpoint}",
    ),
    cause="CUDA out of memory. Tried to allocate 2.00 GiB",
    metrics=("train/loss", "val/loss"),
    started="'loss'",
)
LIGHTNING = Night(
    program="lightning",
    suffix=".yaml",
    configs={
        "a_good": "batch-size: 4\n",
        "b_breaks": "batch-size: 4\nbreak-in: 2\n",
        "c_long": "batch-size: 4\npause: 0.1\nmax-epochs: 5\n",
    },
    words=(
        "--command", "python fit.py {config} --default-root-dir {out_dir} {overrides}", "--batch-size", "8",
        "--resume_args", "--ckpt-path {checkpoint}",
    ),
    cause="ValueError: Expected more than 1 value per channel when training",
    metrics=("train/loss", "val/loss"),
    started="Epoch 1:",
)
DDP = Night(
    program="ddp",
    suffix=".json",
    configs={
        "a_good": _json(steps=8),
        "b_breaks": _json(steps=8, break_at=4),
        "c_long": _json(steps=40, pause=0.2),
    },
    words=(
        "--launcher", f"{sys.executable} -m torch.distributed.run --standalone --nproc_per_node=2",
        "--train_script", "train_ddp.py", "--lr", "0.01", "--resume_args", "--resume {checkpoint}",
    ),
    cause="ValueError: the data of rank 1 is empty",
    metrics=("train/loss",),
    started="step=2 ",
)
SHELL = Night(
    program="shell",
    suffix=".conf",
    configs={
        "a_good": "epochs = 5\nlr = 0.1\n",
        "b_breaks": "epochs = 5\nbreak_at = 3\n",
        "c_long": "epochs = 30\npause = 0.2\n",
    },
    words=(
        "--command", "bash train.sh {config} {out_dir} {overrides}", "--lr=0.5",
        "--resume_args", "--resume={checkpoint}",
    ),
    cause="FATAL: dataset not found: corpus.bin",
    metrics=("train/loss",),
    started="Epoch [3/30]",
)
HYDRA = Night(
    program="hydra_app",
    suffix=".yaml",
    configs={
        name: f"trainer:\n  steps: {steps}\noptimizer:\n  name: adam\n{more}"
        for name, steps, more in [
            ("a_good", 5, ""), ("b_breaks", 5, "break_at: 3\n"), ("c_long", 30, "pause: 0.2\n"),
        ]
    },
    words=(
        "--command",
        "{python} app.py --config-dir conf --config-name {name} 'hydra.run.dir={out_dir}' {overrides:hydra}",
        "--optimizer.name", "adamw", "--resume_args", "+resume={checkpoint}",
    ),
    cause="KeyError: 'adamw'",
    metrics=("train/loss",),
    started="step 3/30",
)
NODE = Night(
    program="node",
    suffix=".json",
    configs={
        "a_good": _json(steps=5),
        "b_breaks": _json(steps=5, break_at=3),
        "c_long": _json(steps=30, pause=0.2),
    },
    words=(
        "--command", "node train.mjs {config} {out_dir} {overrides}", "--lr=0.5",
        "--resume_args", "--resume={checkpoint}",
    ),
    cause="TypeError: Cannot read properties of undefined (reading 'shape')",
    metrics=("train/loss",),
    started='"step":3',
)
NIGHTS = [NANOGPT, HUGGINGFACE, LIGHTNING, DDP, SHELL, HYDRA, NODE]
