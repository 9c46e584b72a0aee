"""What a training minimizes: its batches and its evaluation. One objective for each training_type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from pipelines.diffusion.batches import Batch
from pipelines.diffusion.settings import DiffusionSettings, is_corrector
from pipelines.diffusion.text.dataset import Dataset
from pipelines.shared.metrics import Log


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
    """The evaluation over the full validation text."""

    def summary(self) -> str: ...
    def row(self) -> dict[str, float]: ...


class Objective(Protocol):
    def draw(self, iteration: int, micro_batch: int, stage: int) -> Batch:
        """The batch of one micro-batch index of an iteration, in a curriculum that has reached `stage`."""

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> Evaluated | None:
        """None when `stop` returned True."""

    def evaluate_full(self, model: nn.Module, stop: Callable[[], bool], log: Log) -> Final | None:
        """Over every window of the validation text; `log` gets a line about the progress now and then."""

    def introduction(self) -> str:
        """A line about the loss of a guess."""


def objective_of(
    settings: DiffusionSettings,
    text: Dataset,
    device: torch.device,
    dtype: torch.dtype,
    rows_of_rank: slice = slice(None),
) -> Objective:
    """`rows_of_rank`: the rows of each batch for this process."""
    return kind_of(settings)(settings, text, device, dtype, rows_of_rank)


def kind_of(settings: DiffusionSettings) -> Callable[..., Objective]:
    """Imports only what the training type needs."""
    if is_corrector(settings):
        from pipelines.diffusion.correction import Correction

        return Correction
    if settings.answer_marker:
        from pipelines.diffusion.answer_prediction import AnswerPrediction

        return AnswerPrediction
    if settings.training_type == "ar":
        from pipelines.diffusion.next_token import NextToken

        return NextToken
    if settings.training_type == "block":
        from pipelines.diffusion.block_prediction import BlockPrediction

        return BlockPrediction
    from pipelines.diffusion.masked_prediction import MaskedPrediction

    return MaskedPrediction
