"""Detect errors: the objective of the training types 'remasking' and 'remasking_binary'.

An error-detection model reads a text in which some characters were replaced, and predicts for each whether it is wrong.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from model.corruption import KINDS, correction_targets, corrupt, corruption, draw_kinds
from model.masks import stratified
from pipelines.diffusion.batches import Batch, seeded
from pipelines.diffusion.evaluation.error_detection import (
    CorrectionEvaluation,
    PlantedErrors,
    evaluate,
    planted_errors,
    width_elsewhere,
)
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.evaluation.pieces import Stop
from pipelines.diffusion.settings import DiffusionSettings, classes
from pipelines.diffusion.text.windows import frequencies, places_elsewhere, window_starts
from pipelines.diffusion.text_objective import TextObjective
from pipelines.shared.errors import InputError
from pipelines.shared.metrics import Log


class Correction(TextObjective):
    def check(self) -> None:
        train, val, length = self._text.train, self._text.val, self._settings.block_size
        window_starts(train, length)
        width_elsewhere(train, length, "training")
        width_elsewhere(val, length, "validation")

    def prepare(self) -> None:
        settings, text = self._settings, self._text
        self._width = width_elsewhere(text.train, settings.block_size, "training")
        self._counts = counts = torch.from_numpy(frequencies(text.train, text.vocab_size))
        if int((counts > 0).sum()) < 2:
            raise InputError(f"the training text of '{text.name}' has only one character, which nothing can replace")
        self._frequencies = replacement_frequencies(settings, counts).to(self._device)
        self._weights = torch.tensor(kind_weights(settings), device=self._device)
        self.classes = classes(settings, text.vocab_size)

    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        settings, length = self._settings, self._settings.block_size
        groups, rows = starts.shape
        ids = self._corpus.windows(starts.ravel(), length)
        away = places_elsewhere(self._text.train, starts.ravel(), length, self._width, rng)
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
        targets = targets[:, self._rows_of_rank].flatten(1)
        inputs = corrupted.view(groups, rows, length)[:, self._rows_of_rank]
        return Batch(inputs, None, targets, torch.ones_like(targets, dtype=torch.float32) / (rows * length))

    def evaluate(self, model: nn.Module, stop: Stop = lambda: False) -> CorrectionEvaluation | None:
        return evaluate(model, *self.windows, classes=self.classes, dtype=self._dtype, stop=stop)

    @cached_property
    def windows(self) -> tuple[PlantedErrors, PlantedErrors]:
        """Built at the first evaluation, so that the first step does not wait for them."""
        each = self._settings.eval_iters
        # Fewer windows of training text are enough: their loss is only a reference for the validation loss.
        return self._planted(self._text.val, each), self._planted(self._text.train, max(1, each // len(KINDS)))

    def _planted(self, tokens: np.ndarray, each: int) -> PlantedErrors:
        length, most = self._settings.block_size, self._settings.max_corruption_ratio
        return planted_errors(tokens, self._counts, each, length, most, self._device)

    def evaluate_full(self, model: nn.Module, stop: Stop, log: Log) -> CorrectionEvaluation | None:
        """With as many windows for each kind of corruption as the validation text has."""
        each = -(-len(self._text.val) // (self._settings.block_size * BINS))
        windows = self._planted(self._text.val, each)
        return evaluate(model, windows, self.windows[1], classes=self.classes, dtype=self._dtype, stop=stop)

    def introduction(self) -> str:
        val, _ = self.windows
        rate, entropy = val.base_rate, val.entropy
        return (
            f"wrong characters: {rate:.1%} of the validation windows; a guess that knows only this fraction costs"
            f" {entropy:.4f} nats"
        )


def kind_weights(settings: DiffusionSettings) -> list[float]:
    """The fraction of rows of each kind: by corruption_weights, or all of the kind that is set."""
    if settings.corruption_type == "mixed":
        total = sum(settings.corruption_weights)
        return [weight / total for weight in settings.corruption_weights]
    return [float(kind == settings.corruption_type) for kind in KINDS]


def replacement_frequencies(settings: DiffusionSettings, counts: Tensor) -> Tensor:  # (V,) -> (V,) int64
    return counts if settings.corruption_replacement == "unigram" else torch.ones_like(counts)
