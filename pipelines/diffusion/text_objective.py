"""What the objectives of a training have in common: a text on the device, and its stream of batches."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from model.diffusion import masked_positions
from pipelines.diffusion.batches import Batch, BatchBuilder, Batches
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.windows import even_windows, window_starts


class TextObjective(BatchBuilder):
    """Owns the random generator of masks or corruptions, which is seeded again for every group of batches.

    `rows_of_rank`: the rows of each batch for this process.
    """

    def __init__(
        self,
        settings: DiffusionSettings,
        text: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        rows_of_rank: slice = slice(None),
    ) -> None:
        self._settings, self._text, self._device, self._dtype = settings, text, device, dtype
        self._rows_of_rank = rows_of_rank
        self.check()
        self._corpus = Corpus(text.train, text.vocab_size, device)
        self._generator = torch.Generator(device)
        self._batches = Batches(settings, text, self)
        self.prepare()

    def check(self) -> None:
        """Raises InputError for a text that does not fit, also one that only the first evaluation would notice."""
        window_starts(self._text.val, self._settings.block_size)

    def prepare(self) -> None:
        """What the batches of an objective need besides."""

    def draw(self, iteration: int, micro_batch: int = 0, stage: int = 0) -> Batch:
        return self._batches.draw(iteration, micro_batch, stage)

    def _positions(self, masks: Tensor, most: int) -> Tensor:  # (N, B, T) bool -> (N, M) int64
        """The flat positions that are masked in each of N batches, of which none has more than `most`."""
        most = aligned(most, self._device)
        return masked_positions(masks, min(most, masks[0].numel()))

    @cached_property
    def _even_windows(self) -> tuple[Tensor, Tensor]:
        """Of validation and training text, as many windows, at the same places, as a masked-diffusion training has."""
        count, length = BINS * self._settings.eval_iters, self._settings.block_size
        parts = self._text.val, self._text.train
        val, train = (torch.from_numpy(even_windows(part, count, length)) for part in parts)
        return val.to(self._device), train.to(self._device)

    def introduction(self) -> str:
        return self._text.introduction()


def aligned(count: int, device: torch.device) -> int:
    """At least `count`. On a GPU the batches of a group then begin at multiples of 16 bytes, as compiled code assumes:
    it copies any other."""
    return count if device.type == "cpu" else -(-count // 16) * 16
