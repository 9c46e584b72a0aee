"""The training of a corrector: settings to corrupted batches, their loss, and the objective that the loop is given.

A corrector reads a text in which some characters were replaced, and says of each whether it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from model.corruption import KINDS, correction_targets, corrupt, corruption, draw_kinds
from model.masks import stratified
from pipelines.diffusion.batches import Batch, Batches, seeded
from pipelines.diffusion.evaluation.error_detection import (
    CorrectionEvaluation,
    PlantedErrors,
    evaluate,
    planted_errors,
    width_elsewhere,
)
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.settings import DiffusionSettings, classes
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.windows import frequencies, places_elsewhere
from pipelines.shared.errors import Mistake
from pipelines.shared.metrics import Tell


class Correction:
    """Owns the random generator of the corruptions, which is seeded anew for every batch, as that of the masks."""

    def __init__(
        self,
        settings: DiffusionSettings,
        text: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        share: slice = slice(None),
    ) -> None:
        self._share = share
        self._settings, self._text, self._device, self._dtype = settings, text, device, dtype
        self._tokens, self._corpus = text.train, Corpus(text.train, device)
        self._batches = Batches(settings, text, self)
        self._width = width_elsewhere(text.train, settings.block_size, "training")
        width_elsewhere(text.val, settings.block_size, "validation")  # asked at the first evaluation, refused now
        self._counts = counts = torch.from_numpy(frequencies(text.train, text.vocab_size))
        if int((counts > 0).sum()) < 2:
            raise Mistake(f"the training text of '{text.name}' has one character only, which nothing can replace")
        self._frequencies = replacement_frequencies(settings, counts).to(device)
        self._weights = torch.tensor(kind_weights(settings), device=device)
        self._generator = torch.Generator(device)
        self.classes = classes(settings, text.vocab_size)

    def draw(self, iteration: int, lane: int = 0, stage: int = 0) -> Batch:
        return self._batches.draw(iteration, lane, stage)

    def ask(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        settings, length = self._settings, self._settings.block_size
        groups, rows = starts.shape
        ids = self._corpus.windows(starts.ravel(), length)
        away = places_elsewhere(self._tokens, starts.ravel(), length, self._width, rng)
        generator = seeded(self._generator, rng)
        plan = corruption(
            draw_kinds(self._weights, groups * rows, generator),
            stratified(groups, rows, generator).flatten() * settings.max_corruption_ratio,
            length,
            settings.corruption_p1_probability,
            settings.corruption_p2_probability,
        )
        corrupted = corrupt(ids, plan, self._frequencies, generator, self._corpus.windows(away, self._width))
        targets = correction_targets(ids, corrupted, self.classes).view(groups, rows, length)
        targets = targets[:, self._share].flatten(1)
        inputs = corrupted.view(groups, rows, length)[:, self._share]
        return Batch(inputs, None, targets, torch.ones_like(targets, dtype=torch.float32) / (rows * length))

    def evaluate(self, model: nn.Module, stop: Callable[[], bool] = lambda: False) -> CorrectionEvaluation | None:
        return evaluate(model, *self._asked, classes=self.classes, dtype=self._dtype, stop=stop)

    @cached_property
    def _asked(self) -> tuple[PlantedErrors, PlantedErrors]:
        """Made at the first evaluation, so that the first step need not wait for them."""
        each = self._settings.eval_iters
        # Three kinds share what the training text is asked: it is there to be held against the validation loss.
        return self._planted(self._text.val, each), self._planted(self._text.train, max(1, each // len(KINDS)))

    def _planted(self, tokens: np.ndarray, each: int) -> PlantedErrors:
        length, most = self._settings.block_size, self._settings.max_corruption_ratio
        return planted_errors(tokens, self._counts, each, length, most, self._device)

    def evaluate_whole(
        self, model: nn.Module, stop: Callable[[], bool], tell: Tell
    ) -> CorrectionEvaluation | None:
        """As many windows as the validation text has, for each kind of corruption."""
        each = -(-len(self._text.val) // (self._settings.block_size * BINS))
        asked = self._planted(self._text.val, each)
        return evaluate(model, asked, self._asked[1], classes=self.classes, dtype=self._dtype, stop=stop)

    def introduction(self) -> str:
        val, _ = self._asked
        rate, entropy = val.base_rate, val.entropy
        return (
            f"wrong characters: {rate:.1%} of those asked about; a guess that knows only this share costs"
            f" {entropy:.4f} nats"
        )


def kind_weights(settings: DiffusionSettings) -> list[float]:
    """The share of rows of each kind: as corruption_weights says, or all of the one that is named."""
    if settings.corruption_type == "mixed":
        total = sum(settings.corruption_weights)
        return [weight / total for weight in settings.corruption_weights]
    return [float(kind == settings.corruption_type) for kind in KINDS]


def replacement_frequencies(settings: DiffusionSettings, counts: Tensor) -> Tensor:  # (V,) -> (V,) int64
    return counts if settings.corruption_replacement == "unigram" else torch.ones_like(counts)
