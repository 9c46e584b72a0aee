"""The validation loss of masked prediction: fixed windows under fixed masks, for every training. Prints nothing.

The validation loss is the negative ELBO in nats per token: the integral over the mask ratio of the mean
cross-entropy of the masked characters (linear schedule; MDLM, Sahoo et al. 2024, equation 11), as the mean over ten
ratio bins, the ratios spread evenly within each. Masks depend on eval_iters, block_size and the stage
alone, never on batch_size, seed or the other stages, so that curves of different configs can be compared.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from model.diffusion import masked_cross_entropy
from model.masks import Masking, apply_mask, random_masking, sample_masks
from pipelines.diffusion.evaluation.pieces import Stop, in_pieces, rows_at_once
from pipelines.diffusion.schedule import stage_masking, stage_table
from pipelines.diffusion.stages import RandomStage, StickyStage
from pipelines.diffusion.text.windows import even_windows
from pipelines.shared.devices import autocast

BINS = 10


@dataclass(frozen=True, slots=True)
class MaskedWindows:
    """Groups of equally many windows: the ten ratio bins, then one group for each stage."""

    ids: Tensor  # (groups * each, T)
    masks: Tensor  # (groups * each, T) bool
    each: int


@dataclass(frozen=True, slots=True)
class GroupResults:
    losses: list[float]  # one per group, nats per masked character
    accuracies: list[float]
    variances: list[float]  # of the losses of a group's windows


@dataclass(frozen=True, slots=True)
class MaskedLoss:
    val: GroupResults
    train_loss: float  # the same on training text, bins only
    characters_per_token: float = 1.0  # of the validation text

    @property
    def val_loss(self) -> float:
        return sum(self.val.losses[:BINS]) / BINS

    @property
    def bits_per_character(self) -> float:
        """Per character of the text itself, so that tokenizers can be compared."""
        return self.val_loss / math.log(2) / self.characters_per_token

    @property
    def standard_error(self) -> float:
        """Of val_loss as an estimate for the full validation text."""
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


def masked_windows(
    tokens: np.ndarray, each: int, length: int, stages: Sequence[RandomStage | StickyStage], device: torch.device
) -> MaskedWindows:
    """`each` windows per group. Masks are drawn on the CPU, so that every device is windows the same."""
    spread = torch.from_numpy(even_windows(tokens, BINS * each, length))
    ids = [spread[group::BINS] for group in range(BINS)]  # each bin covers the full text
    masks = [masks_of_bin(group, each, length) for group in range(BINS)]
    for stage in stages:
        ids.append(spread[BINS // 2 :: BINS])
        masks.append(masks_of_stage(stage, each, length))
    return MaskedWindows(torch.cat(ids).to(device), torch.cat(masks).to(device), each)


def middles(count: int) -> Tensor:  # -> (count,)
    """The middles of `count` equal parts of (0, 1)."""
    return (torch.arange(count) + 0.5) / count


def masks_of_bin(group: int, rows: int, length: int) -> Tensor:  # -> (rows, T)
    masking = random_masking((group + middles(rows)) / BINS, length)
    return sample_masks(masking, length, torch.Generator().manual_seed(group))


def masks_of_stage(stage: RandomStage | StickyStage, rows: int, length: int) -> Tensor:  # -> (rows, T)
    """Seeded by the stage itself, not by its position: the same stage has the same masks in two configs."""
    masking: Masking = stage_masking(
        stage_table([stage], "cpu"), torch.zeros(rows, dtype=torch.long), middles(rows), length
    )
    return sample_masks(masking, length, torch.Generator().manual_seed(zlib.crc32(str(stage).encode())))


def variance_of_means(losses: Tensor) -> Tensor:  # (G, N) -> (G,)
    """Of the means of G groups, by how their N windows differ. NaN for one window, whose variance is unknown."""
    if losses.shape[1] == 1:
        return torch.full_like(losses[:, 0], math.nan)
    return losses.var(1) / losses.shape[1]


def losses_and_accuracies(
    model: nn.Module, ids: Tensor, masks: Tensor, mask_id: int, dtype: torch.dtype, padding: Tensor | None = None
) -> tuple[Tensor, Tensor]:  # (N, T), (N, T) -> (N,) mean cross-entropy at masked positions, (N,) accuracy there
    """The network sees masks at `padding` (T,) too, which do not count."""
    with autocast(ids.device, dtype):
        logits = model(apply_mask(ids, masks if padding is None else masks | padding, mask_id))
    count = masks.sum(1)
    losses = masked_cross_entropy(logits, ids, masks).sum(1) / count
    return losses, ((logits.argmax(-1) == ids) & masks).sum(1) / count


def results_of(
    model: nn.Module, windows: MaskedWindows, mask_id: int, dtype: torch.dtype, stop: Stop
) -> GroupResults | None:
    """The losses and accuracies of `model`, by group; None when `stop` returned True."""
    rows = rows_at_once(windows.ids.shape[1], mask_id)
    measure = partial(losses_and_accuracies, model, mask_id=mask_id, dtype=dtype)
    found = in_pieces(model, (windows.ids, windows.masks), rows, stop, measure)
    if found is None:
        return None
    loss, accuracy = (part.view(-1, windows.each) for part in found)  # (groups, each)
    variance = variance_of_means(loss)
    return GroupResults(loss.mean(1).tolist(), accuracy.mean(1).tolist(), variance.tolist())


def evaluate(
    model: nn.Module,
    val: MaskedWindows,
    train: MaskedWindows,
    *,
    mask_id: int,
    dtype: torch.dtype,
    stop: Stop = lambda: False,
    characters_per_token: float = 1.0,
) -> MaskedLoss | None:
    val_results = results_of(model, val, mask_id, dtype, stop)
    train_results = val_results and results_of(model, train, mask_id, dtype, stop)
    if val_results is None or train_results is None:
        return None
    return MaskedLoss(val_results, sum(train_results.losses) / BINS, characters_per_token)
