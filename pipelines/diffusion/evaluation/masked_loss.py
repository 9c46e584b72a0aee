"""Ask a model the same questions whatever its training was: fixed windows under fixed masks. Prints nothing.

The validation loss is the negative ELBO in nats per token: the integral over the mask ratio of the mean
cross-entropy of the hidden characters (linear schedule; MDLM, Sahoo et al. 2024, equation 11), as the mean over ten
ratio bins, the ratios spread evenly within each. Masks depend on eval_iters, block_size and the stage in question
alone, never on batch_size, seed or the other stages, so curves of different configs can be compared.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.diffusion import masked_cross_entropy
from model.masks import Masking, hide, random_masking, sample_masks
from pipelines.diffusion.schedule import stage_masking, stage_table
from pipelines.diffusion.stages import RandomStage, StickyStage
from pipelines.diffusion.text.windows import even_windows
from pipelines.shared.devices import autocast

BINS = 10
MOST_TOKENS = 2**14  # in one forward pass, so that memory is bounded whatever eval_iters is
MOST_LOGITS = 2**25


@dataclass(frozen=True, slots=True)
class Questions:
    """Groups of equally many windows: the ten ratio bins, then one group for each stage."""

    ids: Tensor  # (groups * each, T)
    masks: Tensor  # (groups * each, T) bool
    each: int


@dataclass(frozen=True, slots=True)
class Answers:
    losses: list[float]  # one per group, nats per hidden character
    accuracies: list[float]
    variances: list[float]  # of the losses of a group's windows


@dataclass(frozen=True, slots=True)
class Evaluation:
    val: Answers
    train_loss: float  # the same questions about training text, bins only
    characters_per_token: float = 1.0  # of the validation text

    @property
    def val_loss(self) -> float:
        return sum(self.val.losses[:BINS]) / BINS

    @property
    def bits_per_character(self) -> float:
        """Of the text as it was before it was made tokens of, so that tokenizers can be compared."""
        return self.val_loss / math.log(2) / self.characters_per_token

    @property
    def standard_error(self) -> float:
        """Of val_loss as an estimate for the whole validation text."""
        return math.sqrt(sum(self.val.variances[:BINS])) / BINS

    @property
    def stage_losses(self) -> list[float]:
        return self.val.losses[BINS:]

    def summary(self) -> str:
        bins = " ".join(f"{loss:.2f}" for loss in self.val.losses[:BINS])
        return f"val {self.bits_per_character:.3f} bits per character; loss by mask ratio 0 to 1: {bins}"

    def row(self) -> dict[str, float]:
        """The numbers under the names that metrics.jsonl and wandb show."""
        row = {
            "val/loss": self.val_loss,
            "val/loss_stderr": self.standard_error,
            "val/bpc": self.bits_per_character,
            "val/accuracy": sum(self.val.accuracies[:BINS]) / BINS,
            "train/eval_loss": self.train_loss,
        }
        for i in range(BINS):
            name = f"val/ratio_{i / BINS:.1f}_{(i + 1) / BINS:.1f}"
            row |= {f"{name}_loss": self.val.losses[i], f"{name}_accuracy": self.val.accuracies[i]}
        for i in range(len(self.stage_losses)):
            name = f"val/stage_{i + 1}"
            row |= {f"{name}_loss": self.stage_losses[i], f"{name}_accuracy": self.val.accuracies[BINS + i]}
        return row


def questions(
    tokens: np.ndarray, each: int, length: int, stages: Sequence[RandomStage | StickyStage], device: torch.device
) -> Questions:
    """`each` windows per group. Masks are drawn on the CPU, so that every device is asked the same."""
    spread = torch.from_numpy(even_windows(tokens, BINS * each, length))
    ids = [spread[group::BINS] for group in range(BINS)]  # each bin sees the whole of the text
    masks = [masks_of_bin(group, each, length) for group in range(BINS)]
    for stage in stages:
        ids.append(spread[BINS // 2 :: BINS])
        masks.append(masks_of_stage(stage, each, length))
    return Questions(torch.cat(ids).to(device), torch.cat(masks).to(device), each)


def middles(count: int) -> Tensor:  # -> (count,)
    """The middles of `count` equal parts of (0, 1)."""
    return (torch.arange(count) + 0.5) / count


def masks_of_bin(group: int, rows: int, length: int) -> Tensor:  # -> (rows, T)
    masking = random_masking((group + middles(rows)) / BINS, length)
    return sample_masks(masking, length, torch.Generator().manual_seed(group))


def masks_of_stage(stage: RandomStage | StickyStage, rows: int, length: int) -> Tensor:  # -> (rows, T)
    """Seeded by what the stage is, not by where it stands: two configs ask the same about the same stage."""
    masking: Masking = stage_masking(
        stage_table([stage], "cpu"), torch.zeros(rows, dtype=torch.long), middles(rows), length
    )
    return sample_masks(masking, length, torch.Generator().manual_seed(zlib.crc32(str(stage).encode())))


def rows_at_once(length: int, classes: int) -> int:
    """Windows in one forward pass."""
    return max(1, min(MOST_TOKENS, MOST_LOGITS // classes) // length)


def variance_of_means(losses: Tensor) -> Tensor:  # (G, N) -> (G,)
    """Of the means of G groups, by how their N windows differ. Of one window alone nobody can tell: no number."""
    if losses.shape[1] == 1:
        return torch.full_like(losses[:, 0], math.nan)
    return losses.var(1) / losses.shape[1]


@contextmanager
def asked_only(model: nn.Module) -> Iterator[None]:
    """Neither dropout nor gradients; leaves the model in its mode."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def losses_and_hits(
    model: nn.Module, ids: Tensor, masks: Tensor, mask_id: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:  # (N, T), (N, T) -> (N,) mean cross-entropy of the hidden positions, (N,) share guessed
    with autocast(ids.device, dtype):
        logits = model(hide(ids, masks, mask_id))
    hidden = masks.sum(1)
    losses = masked_cross_entropy(logits, ids, masks).sum(1) / hidden
    return losses, ((logits.argmax(-1) == ids) & masks).sum(1) / hidden


def answer(
    model: nn.Module, asked: Questions, mask_id: int, dtype: torch.dtype, stop: Callable[[], bool]
) -> Answers | None:
    """What `model` makes of the questions; None when `stop` said so on the way."""
    rows, found = rows_at_once(asked.ids.shape[1], mask_id), []
    with asked_only(model):
        for ids, masks in zip(asked.ids.split(rows), asked.masks.split(rows), strict=True):
            if stop():
                return None
            found.append(losses_and_hits(model, ids, masks, mask_id, dtype))
    losses, hits = zip(*found, strict=True)
    loss = torch.cat(losses).view(-1, asked.each)  # (groups, each)
    accuracy = torch.cat(hits).view(-1, asked.each)
    variance = variance_of_means(loss)
    return Answers(loss.mean(1).tolist(), accuracy.mean(1).tolist(), variance.tolist())


def evaluate(
    model: nn.Module,
    val: Questions,
    train: Questions,
    *,
    mask_id: int,
    dtype: torch.dtype,
    stop: Callable[[], bool] = lambda: False,
    characters_per_token: float = 1.0,
) -> Evaluation | None:
    val_answers = answer(model, val, mask_id, dtype, stop)
    train_answers = val_answers and answer(model, train, mask_id, dtype, stop)
    if val_answers is None or train_answers is None:
        return None
    return Evaluation(val_answers, sum(train_answers.losses) / BINS, characters_per_token)
