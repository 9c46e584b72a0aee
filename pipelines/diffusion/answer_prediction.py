"""Learn answers alone, for fine-tuning: the objective of 'elbo' and 'ar' with an answer_marker.

A window begins where a record begins. Its questions are always visible: only answers are masked and counted, so the
loss is that of the answers given their questions, in nats per token of the answers (LLaDA, Nie et al. 2025, 2.3).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.autoregression import shifted
from model.masks import apply_mask, ranked, stratified
from pipelines.diffusion.batches import Batch, Batches, seeded
from pipelines.diffusion.evaluation.masked_loss import BINS, eval_mode, rows_at_once
from pipelines.diffusion.evaluation.window_loss import PassLoss, WindowLoss
from pipelines.diffusion.settings import DiffusionSettings
from pipelines.diffusion.text.answers import answer_tokens
from pipelines.diffusion.text.corpus import Corpus
from pipelines.diffusion.text.dataset import Dataset
from pipelines.diffusion.text.shards import Shards
from pipelines.diffusion.text.windows import record_starts, windows
from pipelines.shared.devices import autocast
from pipelines.shared.errors import InputError
from pipelines.shared.metrics import Log


class AnswerPrediction:
    """Owns the random generator of the masks."""

    def __init__(
        self,
        settings: DiffusionSettings,
        text: Dataset,
        device: torch.device,
        dtype: torch.dtype,
        rows_of_rank: slice = slice(None),
    ) -> None:
        if isinstance(text.train, Shards):
            raise InputError(f"answer_marker: '{text.name}' is a corpus in shards; use a text file")
        self._settings, self._text, self._device, self._dtype = settings, text, device, dtype
        self._rows_of_rank = rows_of_rank
        train, val = (answer_tokens(text.vocabulary, part, settings.answer_marker) for part in (text.train, text.val))
        for name, answers in (("training", train), ("validation", val)):
            if not answers.any():
                raise InputError(f"answer_marker: the {name} text of '{text.name}' has no '{settings.answer_marker}'")
        self._corpus = Corpus(text.train, text.vocab_size, device)
        self._is_answer = Corpus(train.astype(np.uint16), 2, device)
        self._answers = {"train": train, "val": val}
        self._generator = torch.Generator(device)
        self.batches = Batches(settings, text, self)

    def draw(self, iteration: int, micro_batch: int, stage: int) -> Batch:
        return self.batches.draw(iteration, micro_batch, stage)

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

    def evaluate(self, model: nn.Module, stop: Callable[[], bool]) -> WindowLoss | None:
        most, found = BINS * self._settings.eval_iters, []
        for ids, answers in self._windows:
            chosen = np.linspace(0, len(ids) - 1, min(most, len(ids))).astype(int)
            one = self._losses(model, ids[chosen], answers[chosen], stop, number=0)
            if one is None:
                return None
            found.append(one)
        (val, right), (train, _) = found
        return WindowLoss(val.tolist(), right.mean().item(), train.mean().item(), self._text.val_characters_per_token)

    def evaluate_full(self, model: nn.Module, stop: Callable[[], bool], log: Log) -> PassLoss | None:
        ids, answers = self._windows[0]
        passes, accuracies = [], []
        for number in range(1 if self._settings.training_type == "ar" else BINS):
            found = self._losses(model, ids, answers, stop, number=number)
            if found is None:
                return None
            passes.append(found[0].mean().item())
            accuracies.append(found[1].mean().item())
        what = f"the answers in {len(ids)} windows of the validation text"
        return PassLoss(passes, float(np.mean(accuracies)), what, self._text.val_characters_per_token)

    def _losses(
        self, model: nn.Module, ids: Tensor, answers: Tensor, stop: Callable[[], bool], *, number: int
    ) -> tuple[Tensor, Tensor] | None:
        """Of each window nats and accuracy per token of an answer, (N,) float64: times its answers over their mean, so
        that the mean over windows is that over tokens. Pass `number` shifts the bins of the ratios by one."""
        generator = torch.Generator().manual_seed(number)
        bins = (torch.arange(len(ids)) + number) % BINS
        uniform = (bins + 1 - torch.rand(len(ids), generator=generator)) / BINS
        inputs, weights = self.masked(ids, answers, uniform, generator)
        weights = weights / answers.sum(1).double().mean()
        found = [torch.zeros(2, 0, dtype=torch.float64)]
        rows = rows_at_once(ids.shape[1], self._text.mask_id)
        with eval_mode(model):
            for one in zip(ids.split(rows), inputs.split(rows), weights.split(rows), strict=True):
                if stop():
                    return None
                targets, given, weight = (part.to(self._device) for part in one)
                with autocast(self._device, self._dtype):
                    logits = model(given).float()
                losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
                right = torch.eq(logits.argmax(-1), targets)
                found.append(torch.stack(((losses * weight).sum(1), (right * weight).sum(1))).double().cpu())
        losses, right = torch.cat(found, dim=1)
        return losses, right

    @cached_property
    def _windows(self) -> list[tuple[Tensor, Tensor]]:
        """Of validation and training text: windows that begin with a record and do not overlap, and their answers."""
        found, length = [], self._settings.block_size
        for name, tokens in (("val", self._text.val), ("train", self._text.train)):
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
        answers = self._answers["train"]
        return f"{self._text.introduction()}; answers: {answers.mean():.1%} of the training text"
