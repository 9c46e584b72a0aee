"""Learn answers alone, for fine-tuning: the objective of 'elbo' and 'ar' with an answer_marker.

A window begins where a record begins. Its questions are always visible: only answers are masked and counted, so the
loss is that of the answers given their questions, in nats per token of the answers (LLaDA, Nie et al. 2025, 2.3).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.autoregression import shifted
from model.masks import apply_mask, ranked, stratified
from pipelines.diffusion.batches import Batch, seeded
from pipelines.diffusion.evaluation.masked_loss import BINS
from pipelines.diffusion.evaluation.pieces import Stop, in_pieces, rows_at_once
from pipelines.diffusion.evaluation.window_loss import Measured, PassLoss, WindowLoss, of_passes, of_windows
from pipelines.diffusion.text.answers import answer_tokens
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.shards import Shards
from pipelines.diffusion.text.windows import record_starts, windows
from pipelines.diffusion.text_objective import TextObjective
from pipelines.shared.devices import autocast
from pipelines.shared.errors import InputError
from pipelines.shared.metrics import Log


class AnswerPrediction(TextObjective):
    def check(self) -> None:
        if isinstance(self._text.train, Shards):
            raise InputError(f"answer_marker: '{self._text.name}' is a corpus in shards; use a text file")
        super().check()

    def prepare(self) -> None:
        settings, text = self._settings, self._text
        parts = {"training": text.train, "validation": text.val}
        self._answers = {
            name: answer_tokens(text.vocabulary, part, settings.answer_marker) for name, part in parts.items()
        }
        for name, answers in self._answers.items():
            if not answers.any():
                raise InputError(f"answer_marker: the {name} text of '{text.name}' has no '{settings.answer_marker}'")
        self._is_answer = Corpus(self._answers["training"].astype(np.uint16), 2, self._device)

    def build(self, starts: np.ndarray, numbers: range, stage: int, rng: np.random.Generator) -> Batch:
        groups, rows = starts.shape
        length = self._settings.block_size
        ids = self._corpus.windows(starts.ravel(), length)
        answers = self._is_answer.windows(starts.ravel(), length).bool()
        generator = seeded(self._generator, rng)
        inputs, weights = self.masked(ids, answers, stratified(groups, rows, generator).flatten(), generator)
        ids, inputs, weights, answers = (x.view(groups, rows, length) for x in (ids, inputs, weights, answers))
        weights = weights / answers.sum((1, 2), keepdim=True).clamp(min=1)
        ids, inputs, weights = (x[:, self._rows_of_rank] for x in (ids, inputs, weights))
        return Batch(inputs, None, ids.flatten(1), weights.flatten(1).float())

    def masked(
        self, ids: Tensor, answers: Tensor, uniform: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(B, T), (B, T) bool, (B,) in (0, 1] -> what the network reads, and weights whose sum, times the losses, is
        the negative ELBO of a row's answers, or their exact likelihood."""
        if self._settings.training_type == "ar":
            return shifted(ids, self._text.mask_id), answers.double()
        size = answers.sum(1)
        count = (uniform * size).ceil().long()
        masks = ranked(answers, count, generator)
        return apply_mask(ids, masks, self._text.mask_id), masks * (size / count.clamp(min=1))[:, None].double()

    def evaluate(self, model: nn.Module, stop: Stop) -> WindowLoss | None:
        most = BINS * self._settings.eval_iters

        def measure(windows: tuple[Tensor, Tensor]) -> Measured:
            chosen = np.linspace(0, len(windows[0]) - 1, min(most, len(windows[0]))).astype(int)
            return self._losses(model, *(part[chosen] for part in windows), stop=stop, number=0)

        val, train = self._windows
        return of_windows(measure, val, train, self._text.val_characters_per_token)

    def evaluate_full(self, model: nn.Module, stop: Stop, log: Log) -> PassLoss | None:
        def measure(number: int) -> tuple[float, float] | None:
            found = self._losses(model, *self._windows[0], stop=stop, number=number)
            return found and (found[0].mean().item(), found[1].mean().item())

        passes = 1 if self._settings.training_type == "ar" else BINS
        what = f"the answers in {len(self._windows[0][0])} windows of the validation text"
        return of_passes(measure, passes, what, self._text.val_characters_per_token, log)

    def _losses(self, model: nn.Module, ids: Tensor, answers: Tensor, *, stop: Stop, number: int) -> Measured:
        """Of each window nats and accuracy per token of an answer, (N,) float64: times its answers over their mean, so
        that the mean over windows is that over tokens. Pass `number` shifts the bins of the ratios by one."""
        generator = torch.Generator().manual_seed(number)
        bins = (torch.arange(len(ids)) + number) % BINS
        uniform = (bins + 1 - torch.rand(len(ids), generator=generator)) / BINS
        inputs, weights = self.masked(ids, answers, uniform, generator)
        weights = weights / answers.sum(1).double().mean()

        def measure(*some: Tensor) -> tuple[Tensor, Tensor]:
            targets, given, weight = (part.to(self._device) for part in some)
            with autocast(self._device, self._dtype):
                logits = model(given).float()
            losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
            right = torch.eq(logits.argmax(-1), targets)
            return (losses * weight).sum(1).double().cpu(), (right * weight).sum(1).double().cpu()

        return in_pieces(model, (ids, inputs, weights), rows_at_once(ids.shape[1], self._text.mask_id), stop, measure)

    @cached_property
    def _windows(self) -> list[tuple[Tensor, Tensor]]:
        """Of validation and training text: windows that begin with a record and do not overlap, and their answers."""
        found, length = [], self._settings.block_size
        for name, tokens in (("validation", self._text.val), ("training", self._text.train)):
            starts, end = [], 0
            for start in record_starts(self._text, tokens, length, "answer_marker").tolist():
                if start >= end and self._answers[name][start : start + length].any():
                    starts.append(start)
                    end = start + length
            places = np.array(starts)
            answers = self._answers[name][places[:, None] + np.arange(length)]
            found.append((torch.from_numpy(windows(tokens, places, length)), torch.from_numpy(answers)))
        return found

    def introduction(self) -> str:
        answers = self._answers["training"]
        return f"{self._text.introduction()}; answers: {answers.mean():.1%} of the training text"
