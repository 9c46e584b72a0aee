"""The training of a corrector: settings to corrupted batches, their loss, and the objective that the loop is given.

A corrector reads a text in which some characters were replaced, and says of each whether it is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from model.corruption import KINDS, correction_loss, correction_targets, corrupt, corruption, draw_kinds
from model.diffusion import stratified
from pipelines.diffusion.batches import starts_of
from pipelines.diffusion.correction_evaluation import CorrectionEvaluation, evaluate, planted_errors, width_elsewhere
from pipelines.diffusion.data import Dataset, draw_starts, elsewhere, frequencies, windows
from pipelines.diffusion.settings import DiffusionSettings, classes
from pipelines.mistake import Mistake


class Correction:
    """Owns the random generator of the corruptions, which is seeded anew for every batch, as that of the masks."""

    def __init__(self, settings: DiffusionSettings, text: Dataset, device: torch.device, dtype: torch.dtype) -> None:
        self._settings, self._tokens, self._device, self._dtype = settings, text.train, device, dtype
        self._starts = starts_of(settings, text)
        self._width = width_elsewhere(text.train, settings.block_size, "training")
        counts = torch.from_numpy(frequencies(text.train, text.vocab_size))
        if int((counts > 0).sum()) < 2:
            raise Mistake(f"the training text of '{text.name}' has one character only, which nothing can replace")
        self._frequencies = replacement_frequencies(settings, counts).to(device)
        self._weights = torch.tensor(kind_weights(settings), device=device)
        self._generator = torch.Generator(device)
        self.classes = classes(settings, text.vocab_size)
        each, length, most = settings.eval_iters, settings.block_size, settings.max_corruption_ratio
        self._val = planted_errors(text.val, counts, each, length, most, device)
        # Three kinds share what the training text is asked: it is there to be held against the validation loss.
        few = max(1, each // len(KINDS))
        self._train = planted_errors(text.train, counts, few, length, most, device)

    def draw(self, number: int, stage: int = 0) -> tuple[Tensor, Tensor]:  # -> (B, T) inputs, (B, T) targets
        """The number-th batch: a pure function of the seed and the number."""
        settings = self._settings
        rows, length = settings.batch_size, settings.block_size
        rng = np.random.default_rng([settings.seed, number])
        starts = draw_starts(self._starts, rows, rng)
        ids = self._to_device(windows(self._tokens, starts, length))
        other = self._to_device(elsewhere(self._tokens, starts, length, self._width, rng))
        generator = self._generator.manual_seed(int(rng.integers(2**62)))
        plan = corruption(
            draw_kinds(self._weights, rows, generator),
            stratified(rows, generator) * settings.max_corruption_ratio,
            length,
            settings.corruption_p1_probability,
            settings.corruption_p2_probability,
        )
        corrupted = corrupt(ids, plan, self._frequencies, generator, other)
        return corrupted, correction_targets(ids, corrupted, self.classes)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:  # (B, T, C), (B, T) -> ()
        return correction_loss(logits, targets)

    def evaluate(self, model: nn.Module, stop: Callable[[], bool] = lambda: False) -> CorrectionEvaluation | None:
        return evaluate(model, self._val, self._train, classes=self.classes, dtype=self._dtype, stop=stop)

    def introduction(self) -> str:
        rate, entropy = self._val.base_rate, self._val.entropy
        return (
            f"wrong characters: {rate:.1%} of those asked about; a guess that knows only this share costs"
            f" {entropy:.4f} nats"
        )

    def _to_device(self, ids: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(ids)
        if self._device.type == "cuda":
            tensor = tensor.pin_memory()  # otherwise the copy would wait for the GPU
        return tensor.to(self._device, non_blocking=True)


def kind_weights(settings: DiffusionSettings) -> list[float]:
    """The share of rows of each kind: as corruption_weights says, or all of the one that is named."""
    if settings.corruption_type == "mixed":
        total = sum(settings.corruption_weights)
        return [weight / total for weight in settings.corruption_weights]
    return [float(kind == settings.corruption_type) for kind in KINDS]


def replacement_frequencies(settings: DiffusionSettings, counts: Tensor) -> Tensor:  # (V,) -> (V,) int64
    return counts if settings.corruption_replacement == "unigram" else torch.ones_like(counts)
