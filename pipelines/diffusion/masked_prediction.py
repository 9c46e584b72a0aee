"""Predict masked characters: the objective of the training types 'elbo' and 'unmasking'."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import nn

from model.diffusion import elbo_weights, gather_masked, unmasking_weights
from model.masks import apply_mask, random_masks, sample_masks, stratified
from pipelines.diffusion.batches import Batch, seeded
from pipelines.diffusion.evaluation.full_validation import FullEvaluation, evaluate_full
from pipelines.diffusion.evaluation.masked_loss import MaskedLoss, MaskedWindows, evaluate, masked_windows
from pipelines.diffusion.evaluation.pieces import Stop
from pipelines.diffusion.schedule import max_masked, rows_of_stages, stage_masking, stage_table
from pipelines.diffusion.text.corpus import to_device
from pipelines.diffusion.text_objective import TextObjective
from pipelines.shared.metrics import Log


class MaskedPrediction(TextObjective):
    def prepare(self) -> None:
        settings = self._settings
        self._stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
        self._table = stage_table(self._stages, self._device) if self._stages else None

    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        groups, rows = starts.shape
        length = self._settings.block_size
        ids = self._corpus.windows(starts.ravel(), length)
        generator = seeded(self._generator, rng)
        uniform = stratified(groups, rows, generator)
        if self._table is None:
            masks = random_masks((uniform.flatten() * length).ceil().long().clamp(1, length), length, generator)
            masks = masks.view(groups, rows, length)
            weights = elbo_weights(masks, self._settings.max_loss_weight)
            most = length * (rows + 1) // 2 + rows  # the strata add up to about half, whatever their shift
        else:
            dealt = torch.tensor([rows_of_stages(rows, stage, number) for number in numbers])
            dealt = to_device(dealt, self._device)
            # Rows of one stage are `stage + 1` apart, so a random order keeps their strata unbiased.
            order = torch.rand(uniform.shape, generator=generator, device=self._device).argsort(dim=1)
            masking = stage_masking(self._table, dealt.flatten(), uniform.gather(1, order).flatten(), length)
            masks = sample_masks(masking, length, generator).view(groups, rows, length)
            weights = unmasking_weights(masks)
            most = max_masked(self._stages[: stage + 1], rows, length)
        # `most` holds for the rows of all ranks; those of one rank have no more masked positions than that.
        ids, masks, weights = (x[:, self._rows_of_rank] for x in (ids.view(groups, rows, length), masks, weights))
        at = self._positions(masks, most)
        return Batch(
            apply_mask(ids, masks, self._text.mask_id), at, gather_masked(ids, at), gather_masked(weights.float(), at)
        )

    def evaluate(self, model: nn.Module, stop: Stop) -> MaskedLoss | None:
        text = self._text
        return evaluate(
            model, *self._windows, mask_id=text.mask_id, dtype=self._dtype, stop=stop,
            characters_per_token=text.val_characters_per_token,
        )  # fmt: skip

    @cached_property
    def _windows(self) -> tuple[MaskedWindows, MaskedWindows]:
        """Built at the first evaluation, so that the first step does not wait for them."""
        each, length = self._settings.eval_iters, self._settings.block_size
        return (
            masked_windows(self._text.val, each, length, self._stages, self._device),
            masked_windows(self._text.train, each, length, [], self._device),
        )

    def evaluate_full(self, model: nn.Module, stop: Stop, log: Log) -> FullEvaluation | None:
        text = self._text
        return evaluate_full(
            model, text.val, self._settings.block_size, mask_id=text.mask_id, device=self._device, dtype=self._dtype,
            characters_per_token=text.val_characters_per_token, stop=stop, log=log,
        )  # fmt: skip
