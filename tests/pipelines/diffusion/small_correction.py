"""A small text that an error-detection model can learn, and the smallest settings that learn it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.diffusion.correction import Correction
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text import characters
from pipelines.diffusion.text.open import open_dataset

CPU = torch.device("cpu")
LINES = ["the cat sat on a mat", "and rain fell over every hill", "near them ran a quiet stream"]
TINY = {
    "training_type": "remasking_binary", "eval_interval": 20, "eval_iters": 3, "log_interval": 5, "batch_size": 8,
    "block_size": 32, "n_layer": 1, "n_head": 2, "n_embd": 32, "learning_rate": 1e-2, "warmup_iters": 5,
    "max_iters": 60, "decay_lr": False, "dropout": 0.1, "device": "cpu",
}  # fmt: skip


def write_text(folder: Path) -> Path:
    """Three lines in any order: within a line everything is certain."""
    lines = random.Random(0).choices(LINES, k=600)
    characters.prepare_once(folder, lambda: ("\n".join(lines), {"name": "test"}))
    return folder


def settings_of(text: Path, **changes: Any) -> DiffusionSettings:
    return DiffusionSettings(**{**TINY, "dataset": str(text), **changes})


def correction(text: Path, **changes: Any) -> Correction:
    return Correction(settings_of(text, **changes), open_dataset(str(text)), CPU, torch.float32)


def drawn(one: Correction, number: int) -> tuple[torch.Tensor, torch.Tensor]:  # -> (B, T) inputs, (B, T) targets
    batch = one.draw(number)
    assert batch.at is None and batch.weights.sum().item() == pytest.approx(1.0)
    return batch.inputs, batch.targets.view(batch.inputs.shape)
