"""The stream of training batches: masked or corrupted windows of the text, a pure function of seed and number."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.windows import Starts, draw_starts, paragraphs, window_starts

# Batches are built several at a time, since the many small operations cost the same for one as for sixteen.
MAX_GROUP = 16
MAX_GROUP_TOKENS = 2**17


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of the network and its targets: the loss is the weighted sum of the cross-entropies.

    A group of batches has one more dimension in front.
    """

    inputs: Tensor  # (B, T) int64
    at: Tensor | None  # (M,) int64, the flat positions that count; None: all B * T
    targets: Tensor  # (M,) int64
    weights: Tensor  # (M,) float32, 0 for padding

    def __getitem__(self, number: int) -> Batch:
        at = None if self.at is None else self.at[number]
        return Batch(self.inputs[number], at, self.targets[number], self.weights[number])


class BatchBuilder(Protocol):
    @abstractmethod
    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        """One batch for each of the N numbers, of the windows at starts (N, B); the curriculum has reached `stage`."""


class Batches:
    """Draws batches. Each micro-batch index of an iteration has a stream of its own, so that the number of processes
    makes no difference. Every group of batches is seeded again, so that a resumed training needs no state and sees
    what an uninterrupted one would have seen."""

    def __init__(self, settings: DiffusionSettings, text: Dataset, builder: BatchBuilder) -> None:
        self._seed, self._micro_batches = settings.seed, settings.gradient_accumulation_steps
        self._rows, tokens = settings.batch_size, settings.batch_size * settings.block_size
        self._starts, self._builder = starts_of(settings, text), builder
        self._group = max(1, min(MAX_GROUP, MAX_GROUP_TOKENS // tokens))
        self._drawn: dict[int, tuple[int, int, Batch]] = {}  # micro-batch index -> number of the group, stage, batches

    def draw(self, iteration: int, micro_batch: int, stage: int) -> Batch:
        """The batch of one micro-batch index of an iteration, in a curriculum that has reached `stage`."""
        number, place = divmod(iteration, self._group)
        found = self._drawn.get(micro_batch)
        if found is None or found[:2] != (number, stage):
            found = self._drawn[micro_batch] = (number, stage, self._draw_group(number, micro_batch, stage))
        return found[2][place]

    def _draw_group(self, number: int, micro_batch: int, stage: int) -> Batch:
        rng = np.random.default_rng([self._seed, micro_batch, number])
        starts = draw_starts(self._starts, self._group * self._rows, rng).reshape(self._group, self._rows)
        first = number * self._group * self._micro_batches + micro_batch
        numbers = range(first, first + self._group * self._micro_batches, self._micro_batches)
        return self._builder.build(starts, numbers, stage, rng)


def starts_of(settings: DiffusionSettings, text: Dataset) -> Starts:
    """Where a window of the training text may begin."""
    if not settings.use_paragraph_boundaries and not settings.answer_marker:
        return window_starts(text.train, settings.block_size)
    return paragraphs(text, settings.block_size)


def seeded(generator: torch.Generator, rng: np.random.Generator) -> torch.Generator:
    return generator.manual_seed(int(rng.integers(2**62)))
