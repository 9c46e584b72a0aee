"""What a training learns, as the loop sees it: batches, an evaluation. One value for each training_type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from pipelines.diffusion.batches import Batch
from pipelines.diffusion.settings import DiffusionSettings, is_corrector
from pipelines.diffusion.text.dataset import Dataset
from pipelines.shared.metrics import Tell


class Evaluated(Protocol):
    @property
    def val_loss(self) -> float: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def stage_losses(self) -> list[float]: ...
    def summary(self) -> str: ...
    def row(self) -> dict[str, float]: ...


class Final(Protocol):
    """The evaluation over the whole validation text."""

    def summary(self) -> str: ...
    def row(self) -> dict[str, float]: ...


class Objective(Protocol):
    def draw(self, iteration: int, lane: int, stage: int) -> Batch:
        """The batch of one micro-step of an iteration, in a curriculum that has reached `stage`."""

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> Evaluated | None:
        """None when `stop` said so on the way."""

    def evaluate_whole(
        self, model: nn.Module, stop: Callable[[], bool], tell: Tell
    ) -> Final | None:
        """Over every window of the validation text; `tell` is told now and then how far it has come."""

    def introduction(self) -> str:
        """A line that says what a guess costs."""


def objective_of(
    settings: DiffusionSettings, text: Dataset, device: torch.device, dtype: torch.dtype, share: slice = slice(None)
) -> Objective:
    """`share` are the rows of each batch that this process learns. Imports what the training type needs and no more."""
    if is_corrector(settings):
        from pipelines.diffusion.correction import Correction

        return Correction(settings, text, device, dtype, share)
    from pipelines.diffusion.masked_prediction import Filling

    return Filling(settings, text, device, dtype, share)
