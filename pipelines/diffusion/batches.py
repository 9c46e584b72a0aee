"""The stream of training batches: windows of the text and the masks over them, a pure function of seed and number."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from model.diffusion import random_masking, sample_masks, stratified
from pipelines.diffusion.data import Dataset, Starts, draw, paragraphs, window_starts
from pipelines.diffusion.schedule import batch_masking, stage_table
from pipelines.diffusion.settings import DiffusionSettings


def starts_of(settings: DiffusionSettings, text: Dataset) -> Starts:
    """Where a window of the training text may begin."""
    if not settings.use_paragraph_boundaries:
        return window_starts(text.train, settings.block_size)
    return paragraphs(text, settings.block_size)


class Batches:
    """Owns the random generator of the masks. It is seeded anew for every batch, so a resumed training needs no
    state of it, and sees what the uninterrupted one would have seen."""

    def __init__(self, settings: DiffusionSettings, text: Dataset, device: torch.device) -> None:
        self._seed = settings.seed
        self._rows, self._length = settings.batch_size, settings.block_size
        self._tokens = text.train
        self._starts = starts_of(settings, text)
        stages = settings.unmasking_stages if settings.training_type == "unmasking" else []
        self._table = stage_table(stages, device) if stages else None
        self._device = device
        self._generator = torch.Generator(device)

    def draw(self, number: int, stage: int) -> tuple[Tensor, Tensor]:  # -> (B, T) ids, (B, T) masks
        """The number-th batch of a training whose curriculum has reached `stage`."""
        rng = np.random.default_rng([self._seed, number])
        ids = torch.from_numpy(draw(self._tokens, self._starts, self._rows, self._length, rng))
        if self._device.type == "cuda":
            ids = ids.pin_memory()  # otherwise the copy would wait for the GPU
        self._generator.manual_seed(int(rng.integers(2**62)))
        if self._table is None:
            masking = random_masking(stratified(self._rows, self._generator), self._length)
        else:
            masking = batch_masking(self._table, stage, self._rows, self._length, number, self._generator)
        masks = sample_masks(masking, self._length, self._generator)
        return ids.to(self._device, non_blocking=True), masks
