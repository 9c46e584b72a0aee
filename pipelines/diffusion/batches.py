"""The stream of training batches: windows of the text made into questions, a pure function of seed and number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.windows import Starts, draw_starts, paragraphs, window_starts

# Batches are made several at a time, since the many small operations cost the same for one as for sixteen.
MOST_AT_A_TIME = 16
MOST_TOKENS_AT_A_TIME = 2**17


@dataclass(frozen=True, slots=True)
class Batch:
    """What the network reads, and what is asked about it: the loss is the weighted sum of the cross-entropies.

    Several batches at a time carry one more dimension in front.
    """

    inputs: Tensor  # (B, T) int64
    at: Tensor | None  # (M,) int64, the flat positions that are asked about; None: all B * T
    targets: Tensor  # (M,) int64
    weights: Tensor  # (M,) float32, 0 for positions that only fill the shape

    def __getitem__(self, number: int) -> Batch:
        at = None if self.at is None else self.at[number]
        return Batch(self.inputs[number], at, self.targets[number], self.weights[number])


class Questions(Protocol):
    def ask(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        """One batch for each of the N numbers, of the windows at starts (N, B); the curriculum has reached `stage`."""


class Batches:
    """Deals batches out. Each lane (one micro-step of an iteration) has a stream of its own, so that it does not
    matter which process, or how many, draw them; and all are seeded anew for every group of batches, so a resumed
    training needs no state, and sees what the uninterrupted one would have seen."""

    def __init__(self, settings: DiffusionSettings, text: Dataset, questions: Questions) -> None:
        self._seed, self._lanes = settings.seed, settings.gradient_accumulation_steps
        self._rows, tokens = settings.batch_size, settings.batch_size * settings.block_size
        self._starts, self._questions = starts_of(settings, text), questions
        self._group = max(1, min(MOST_AT_A_TIME, MOST_TOKENS_AT_A_TIME // tokens))
        self._drawn: dict[int, tuple[int, int, Batch]] = {}  # lane: number of the group, stage, batches

    def draw(self, iteration: int, lane: int, stage: int) -> Batch:
        """The batch of one micro-step of an iteration, in a curriculum that has reached `stage`."""
        number, place = divmod(iteration, self._group)
        found = self._drawn.get(lane)
        if found is None or found[:2] != (number, stage):
            found = self._drawn[lane] = (number, stage, self._draw_group(number, lane, stage))
        return found[2][place]

    def _draw_group(self, number: int, lane: int, stage: int) -> Batch:
        rng = np.random.default_rng([self._seed, lane, number])
        starts = draw_starts(self._starts, self._group * self._rows, rng).reshape(self._group, self._rows)
        first = number * self._group * self._lanes + lane
        numbers = range(first, first + self._group * self._lanes, self._lanes)
        return self._questions.ask(starts, numbers, stage, rng)


def starts_of(settings: DiffusionSettings, text: Dataset) -> Starts:
    """Where a window of the training text may begin."""
    if not settings.use_paragraph_boundaries:
        return window_starts(text.train, settings.block_size)
    return paragraphs(text, settings.block_size)


def seeded(generator: torch.Generator, rng: np.random.Generator) -> torch.Generator:
    return generator.manual_seed(int(rng.integers(2**62)))


