"""The trainer's own step, outside of its loop, for the programs here that time or check it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from pipelines.diffusion.objectives import objective_of
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset, read, write
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.diffusion.train_state import BatchLoss, Updater, build, loss_of
from pipelines.shared import devices

#: What config/recipes/ add to the defaults that costs time in a step.
RECIPE: dict[str, Any] = {
    "optimizer": "muon", "muon_learning_rate": 0.02, "learning_rate": 3e-3, "conv_width": 5, "ema_decay": 0.999,
}  # fmt: skip


class Trainee:
    """A network in training. `step` does everything between two updates of the weights."""

    def __init__(
        self, text: Dataset, device: torch.device, dtype: torch.dtype, *, compile: bool = False, graphs: bool = False,
        **settings: Any,
    ) -> None:  # fmt: skip
        given = {"training_type": "elbo", "dataset": str(text.folder), "cuda_graphs": graphs} | settings
        self.settings = DiffusionSettings(**given)
        self.device, self.dtype = device, dtype
        self.objective = objective_of(self.settings, text, device, dtype)
        self.state = build(self.settings, text.vocab_size, device, dtype)
        self.network: torch.nn.Module = BatchLoss(self.state.model, device, dtype)
        if compile:
            example = self.objective.draw(0, 0, 0)
            self.network = devices.compiled(
                self.network, lambda fast: loss_of(fast, example).backward(), graphs=graphs
            )
        self.updater = Updater(self.state, self.settings)
        self.iteration = 0
        self.host_seconds = 0.0  # of the last step, outside of network and optimizer
        self.loss = torch.zeros((), device=device)  # of the last step

    def step(self, factor: float = 1.0) -> Tensor:
        """One step; 1.0 where it was skipped. `factor` multiplies the loss: math.inf makes the gradient not finite."""
        begun = time.perf_counter()
        batch = self.objective.draw(self.iteration, 0, 0)
        self.host_seconds = time.perf_counter() - begun
        loss = loss_of(self.network, batch)
        self.state.scaler.scale(loss * factor if factor != 1.0 else loss).backward()
        self.loss.copy_(loss.detach())
        _, skipped = self.updater.step(self.settings.learning_rate, self.iteration)
        self.iteration += 1
        return skipped


def some_text(folder: Path, letters: int = 65) -> Dataset:
    """A megabyte of real text, the project's own sources, with as many characters as tiny Shakespeare."""
    root = Path(__file__).resolve().parent.parent
    paths = [path for part in ("runner", "docs") for path in sorted((root / part).rglob("*.[pm][yd]"))]
    text = "".join(path.read_text() for path in paths)
    frequent = {letter for letter, _ in Counter(text).most_common(letters - 1)}
    text = "".join(letter if letter in frequent else "?" for letter in text[:1_000_000])
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, text, Characters.of(text), {"name": "bench"})
    return read("bench", folder)
