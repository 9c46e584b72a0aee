"""What a training learns, as the loop sees it: batches, their loss, an evaluation. One value for each training_type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.diffusion import elbo_loss, hide, unmasking_loss
from pipelines.diffusion.batches import Batches
from pipelines.diffusion.correction import Correction
from pipelines.diffusion.data import Dataset
from pipelines.diffusion.evaluation import Evaluation, evaluate, questions
from pipelines.diffusion.settings import DiffusionSettings, is_corrector


class Evaluated(Protocol):
    @property
    def val_loss(self) -> float: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def stage_losses(self) -> list[float]: ...
    def summary(self) -> str: ...
    def row(self) -> dict[str, float]: ...


class Objective(Protocol):
    def draw(self, number: int, stage: int) -> tuple[Tensor, Any]:
        """The number-th batch: what the network reads (B, T), and what `loss` compares its logits with."""

    def loss(self, logits: Tensor, targets: Any) -> Tensor:  # (B, T, C) -> ()
        """Nats."""

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> Evaluated | None:
        """None when `stop` said so on the way."""

    def introduction(self) -> str:
        """A line that says what a guess costs."""


class Filling:
    """Fill in hidden characters: 'unmasking' and 'elbo'."""

    def __init__(self, settings: DiffusionSettings, text: Dataset, device: torch.device, dtype: torch.dtype) -> None:
        stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
        self._loss = unmasking_loss if stages else elbo_loss
        self._batches, self._text, self._dtype = Batches(settings, text, device), text, dtype
        self._val = questions(text.val, settings.eval_iters, settings.block_size, stages, device)
        self._train = questions(text.train, settings.eval_iters, settings.block_size, [], device)

    def draw(self, number: int, stage: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        ids, masks = self._batches.draw(number, stage)
        return hide(ids, masks, self._text.mask_id), (ids, masks)

    def loss(self, logits: Tensor, targets: tuple[Tensor, Tensor]) -> Tensor:
        return self._loss(logits, *targets)

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> Evaluation | None:
        return evaluate(model, self._val, self._train, mask_id=self._text.mask_id, dtype=self._dtype, stop=stop, characters_per_token=self._text.val_characters_per_token)

    def introduction(self) -> str:
        return (
            f"vocabulary: {self._text.vocab_size} {self._text.vocabulary.title}; a guess without context costs"
            f" {self._text.val_unigram_entropy:.4f} nats (unigram entropy of the validation text)"
        )


def objective_of(
    settings: DiffusionSettings, text: Dataset, device: torch.device, dtype: torch.dtype
) -> Filling | Correction:
    return (Correction if is_corrector(settings) else Filling)(settings, text, device, dtype)
