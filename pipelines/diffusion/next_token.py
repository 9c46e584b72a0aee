"""Predict the next token: the objective of training_type 'ar', the autoregressive baseline.

The network, the windows, the optimizer and the evaluated text are those of a masked-diffusion training. The network is
causal, and reads each window one position late: the mask, which an autoregressive model does not need, comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from model.autoregression import shifted
from pipelines.diffusion.batches import Batch, Batches
from pipelines.diffusion.evaluation.exact_likelihood import evaluate, evaluate_full
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.windows import even_windows, window_starts
from pipelines.shared.metrics import Log


class NextToken:
    def __init__(
        self,
        settings: DiffusionSettings,
        text: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        rows_of_rank: slice = slice(None),
    ) -> None:
        window_starts(text.val, settings.block_size)  # needed at the first evaluation, checked now
        self._rows_of_rank = rows_of_rank
        self._settings, self._text, self._device, self._dtype = settings, text, device, dtype
        self._corpus = Corpus(text.train, text.vocab_size, device)
        self.batches = Batches(settings, text, self)

    def draw(self, iteration: int, micro_batch: int, stage: int) -> Batch:
        return self.batches.draw(iteration, micro_batch, stage)

    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        groups, rows = starts.shape
        length = self._settings.block_size
        ids = self._corpus.windows(starts.ravel(), length)
        inputs = shifted(ids, self._text.mask_id)
        ids, inputs = (x.view(groups, rows, length)[:, self._rows_of_rank] for x in (ids, inputs))
        targets = ids.flatten(1)
        return Batch(inputs, None, targets, torch.ones_like(targets, dtype=torch.float32) / (rows * length))

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> WindowLoss | None:
        text = self._text
        return evaluate(
            model, *self._windows, mask_id=text.mask_id, dtype=self._dtype, stop=stop,
            characters_per_token=text.val_characters_per_token,
        )  # fmt: skip

    @cached_property
    def _windows(self) -> tuple[Tensor, Tensor]:
        """As many windows, at the same places, as the evaluation of a masked-diffusion training has."""
        count, length = BINS * self._settings.eval_iters, self._settings.block_size
        parts = self._text.val, self._text.train
        val, train = (torch.from_numpy(even_windows(part, count, length)) for part in parts)
        return val.to(self._device), train.to(self._device)

    def evaluate_full(self, model: nn.Module, stop: Callable[[], bool], log: Log) -> PassLoss | None:
        text = self._text
        return evaluate_full(
            model, text.val, self._settings.block_size, mask_id=text.mask_id, device=self._device, dtype=self._dtype,
            characters_per_token=text.val_characters_per_token, stop=stop, log=log,
        )  # fmt: skip

    def introduction(self) -> str:
        return self._text.introduction()
