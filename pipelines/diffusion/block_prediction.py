"""Predict masked tokens block by block: the objective of training_type 'block' (BD3-LM, Arriola et al. 2025)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from model.diffusion import gather_masked
from model.masks import apply_mask, random_masks, stratified
from pipelines.diffusion.batches import Batch, seeded
from pipelines.diffusion.evaluation.block_loss import evaluate, evaluate_full
from pipelines.diffusion.evaluation.pieces import Stop
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss
from pipelines.diffusion.text_objective import TextObjective
from pipelines.shared.metrics import Log


class BlockPrediction(TextObjective):
    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        """Each block of each row masks l of its positions, l uniform, each with the weight 1 / l: per position, the
        negative ELBO of each block given the clean blocks before it."""
        groups, rows = starts.shape
        length, block = self._settings.block_size, self._settings.block_length
        blocks = rows * (length // block)
        ids = self._corpus.windows(starts.ravel(), length).view(groups, rows, length)
        generator = seeded(self._generator, rng)
        # Blocks of one row lie in different strata too.
        count = (stratified(groups, blocks, generator) * block).ceil().long().clamp(1, block)
        masks = random_masks(count.flatten(), block, generator).view(groups, rows, length)
        weights = masks / count.view(groups, -1, 1).expand(-1, -1, block).reshape(groups, rows, length) / blocks
        most = block * (blocks + 1) // 2 + blocks  # the strata add up to about half
        ids, masks, weights = (x[:, self._rows_of_rank] for x in (ids, masks, weights))
        at = self._positions(masks, most)
        inputs = torch.cat((apply_mask(ids, masks, self._text.mask_id), ids), dim=2)
        return Batch(inputs, at, gather_masked(ids, at), gather_masked(weights.float(), at))

    def evaluate(self, model: nn.Module, stop: Stop) -> WindowLoss | None:
        text = self._text
        return evaluate(
            model, *self._even_windows, block_length=self._settings.block_length, mask_id=text.mask_id,
            dtype=self._dtype, stop=stop, characters_per_token=text.val_characters_per_token,
        )  # fmt: skip

    def evaluate_full(self, model: nn.Module, stop: Stop, log: Log) -> PassLoss | None:
        text, settings = self._text, self._settings
        return evaluate_full(
            model, text.val, settings.block_size, block_length=settings.block_length, mask_id=text.mask_id,
            device=self._device, dtype=self._dtype, characters_per_token=text.val_characters_per_token, stop=stop,
            log=log,
        )  # fmt: skip
