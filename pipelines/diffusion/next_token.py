"""Predict the next token: the objective of training_type 'ar', the autoregressive baseline.

The network, the windows, the optimizer and the evaluated text are those of a masked-diffusion training. The network is
causal, and reads each window one position late: the mask, which an autoregressive model does not need, comes first.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from model.autoregression import shifted
from pipelines.diffusion.batches import Batch
from pipelines.diffusion.evaluation.exact_likelihood import evaluate, evaluate_full
from pipelines.diffusion.evaluation.pieces import Stop
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss
from pipelines.diffusion.text_objective import TextObjective
from pipelines.shared.metrics import Log


class NextToken(TextObjective):
    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        groups, rows = starts.shape
        length = self._settings.block_size
        ids = self._corpus.windows(starts.ravel(), length)
        inputs = shifted(ids, self._text.mask_id)
        ids, inputs = (x.view(groups, rows, length)[:, self._rows_of_rank] for x in (ids, inputs))
        targets = ids.flatten(1)
        return Batch(inputs, None, targets, torch.ones_like(targets, dtype=torch.float32) / (rows * length))

    def evaluate(self, model: nn.Module, stop: Stop) -> WindowLoss | None:
        text = self._text
        return evaluate(
            model, *self._even_windows, mask_id=text.mask_id, dtype=self._dtype, stop=stop,
            characters_per_token=text.val_characters_per_token,
        )  # fmt: skip

    def evaluate_full(self, model: nn.Module, stop: Stop, log: Log) -> PassLoss | None:
        text = self._text
        return evaluate_full(
            model, text.val, self._settings.block_size, mask_id=text.mask_id, device=self._device, dtype=self._dtype,
            characters_per_token=text.val_characters_per_token, stop=stop, log=log,
        )  # fmt: skip
