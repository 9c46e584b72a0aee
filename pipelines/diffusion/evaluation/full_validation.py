"""The validation loss over the whole validation text: every window, hidden at every ratio. Prints nothing.

The estimator is that of masked_loss.py. Here each of the W windows that do not overlap is asked ten
times, once in each bin of the mask ratio, so that what differs between windows does not blur the result: what is left
is the chance of the masks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from model.masks import random_masking, sample_masks
from pipelines.diffusion.evaluation.masked_loss import BINS, asked_only, losses_and_hits, rows_at_once
from pipelines.diffusion.text.windows import windows
from pipelines.shared.metrics import Tell

TELL_SECONDS = 10.0
WINDOWS_AT_A_TIME = 2**12  # whose masks are drawn at once: bounded memory, whatever the text


@dataclass(frozen=True, slots=True)
class WholeEvaluation:
    losses: Tensor  # (W, 10) float64, nats per hidden token
    accuracies: Tensor  # (W, 10)
    characters_per_token: float

    @property
    def loss(self) -> float:
        """The negative ELBO in nats per token."""
        return self.losses.mean().item()

    @property
    def standard_error(self) -> float:
        """What other masks would change: the residuals of the windows' and the bins' means (two-way analysis of
        variance without repetition). The windows are all there are, so they add nothing."""
        windows, bins = self.losses.shape
        if windows == 1:
            return math.nan  # of one window alone nobody can tell
        residual = (
            self.losses - self.losses.mean(0, keepdim=True) - self.losses.mean(1, keepdim=True) + self.losses.mean()
        )
        freedom = (windows - 1) * (bins - 1)
        return math.sqrt((residual.square().sum().item() / freedom) / (windows * bins))

    @property
    def bits_per_character(self) -> float:
        return self.loss / math.log(2) / self.characters_per_token

    def summary(self) -> str:
        return (
            f"val loss {self.loss:.4f} ± {self.standard_error:.4f}, {self.bits_per_character:.3f} bits per character"
            f" (all {self.losses.shape[0]} windows of the validation text, {BINS} mask ratios each)"
        )

    def row(self) -> dict[str, float]:
        return {
            "final/loss": self.loss,
            "final/loss_stderr": self.standard_error,
            "final/bpc": self.bits_per_character,
            "final/accuracy": self.accuracies.mean().item(),
        }


def evaluate_whole(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    *,
    mask_id: int,
    device: torch.device,
    dtype: torch.dtype,
    characters_per_token: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
    tell: Tell = lambda line: None,
) -> WholeEvaluation | None:
    """None when `stop` said so on the way. `tell` hears how far it has come, where it takes long."""
    starts = np.arange(len(tokens) // length) * length
    losses, hits = torch.zeros(2, len(starts), BINS, dtype=torch.float64)
    rows, told = rows_at_once(length, mask_id), time.monotonic()
    with asked_only(model):
        for turn in range(BINS):
            for first in range(0, len(starts), WINDOWS_AT_A_TIME):
                block = np.arange(first, min(first + WINDOWS_AT_A_TIME, len(starts)))
                bins, masks = masks_of_turn(block, turn, length)
                for piece in torch.arange(len(block)).split(rows):
                    if stop():
                        return None
                    asked = block[piece.numpy()]  # by an array, since one window alone must stay a row
                    ids = torch.from_numpy(windows(tokens, starts[asked], length)).to(device)
                    loss, hit = losses_and_hits(model, ids, masks[piece].to(device), mask_id, dtype)
                    losses[asked, bins[piece]] = loss.double().cpu()
                    hits[asked, bins[piece]] = hit.double().cpu()
            if time.monotonic() - told > TELL_SECONDS:
                told = time.monotonic()
                tell(f"the whole validation text: {turn + 1} of {BINS} turns")
    return WholeEvaluation(losses, hits, characters_per_token)


def masks_of_turn(block: np.ndarray, turn: int, length: int) -> tuple[Tensor, Tensor]:  # (N,) -> (N,), (N, T) bool
    """Which bin each window is asked in at this turn, and its masks. Windows of one bin share its ratios out evenly.

    Drawn on the CPU, from the turn and the block alone, so that every device and every training is asked the same.
    """
    generator = torch.Generator().manual_seed(int(block[0]) * BINS + turn)
    bins = (torch.from_numpy(block) + turn) % BINS
    within = torch.zeros(len(block))
    for group in range(BINS):
        members = (bins == group).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        strata = torch.arange(len(members)) + torch.rand(1, generator=generator)
        within[members[order]] = strata / max(1, len(members))
    masking = random_masking((bins + within) / BINS, length)
    return bins, sample_masks(masking, length, generator)
