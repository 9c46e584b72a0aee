"""The validation loss over the full validation text: every window, masked at every ratio. Prints nothing.

The estimator is that of masked_loss.py. Here each of the W windows that do not overlap is chosen ten
times, once in each bin of the mask ratio, so that what differs between windows does not blur the result: what is left
is the chance of the masks. The tokens after the last window are a window of their own, filled up with masks that do
not count, as if nothing were known of what follows the text.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from model.masks import random_masking, sample_masks
from pipelines.diffusion.evaluation.masked_loss import BINS, losses_and_accuracies
from pipelines.diffusion.evaluation.pieces import LOG_SECONDS, Stop, in_pieces, rows_at_once
from pipelines.diffusion.text.windows import windows
from pipelines.shared.metrics import Log, at_most_every

WINDOWS_PER_DRAW = 2**12  # whose masks are drawn at once, to bound the memory


@dataclass(frozen=True, slots=True)
class FullEvaluation:
    losses: Tensor  # (W, 10) float64, nats per masked token
    accuracies: Tensor  # (W, 10)
    characters_per_token: float
    length: int  # tokens of a window
    rest: int = 0  # tokens after the last window
    rest_losses: Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.float64))
    rest_accuracies: Tensor = field(default_factory=lambda: torch.zeros(BINS, dtype=torch.float64))

    @property
    def loss(self) -> float:
        """The negative ELBO in nats per token."""
        return self._mean(self.losses, self.rest_losses)

    @property
    def accuracy(self) -> float:
        return self._mean(self.accuracies, self.rest_accuracies)

    def _mean(self, windows: Tensor, rest: Tensor) -> float:
        """Over all tokens of the text."""
        tokens = windows.shape[0] * self.length
        of_windows = windows.mean().item() * tokens if tokens else 0.0
        return (of_windows + rest.mean().item() * self.rest) / (tokens + self.rest)

    @property
    def standard_error(self) -> float:
        """The effect of other masks, at most: the residuals of the means of windows and bins (two-way analysis of
        variance without repetition). The windows are all that exist, so they add no error.

        At most, since the residuals also hold what is particular to a window in a bin, and the ratios of a bin are
        spread evenly: it was 1.16 times the spread over other masks, on a small network and on a larger one.
        """
        windows, bins = self.losses.shape
        if windows == 1:
            return math.nan  # one window has no residuals
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
            f" (all {self.losses.shape[0]} windows of the validation text{self._and_rest()}, {BINS} mask ratios each)"
        )

    def _and_rest(self) -> str:
        return f" and its last {self.rest} tokens" if self.rest else ""

    def row(self) -> dict[str, float]:
        return {
            "final/loss": self.loss,
            "final/loss_stderr": self.standard_error,
            "final/bpc": self.bits_per_character,
            "final/accuracy": self.accuracy,
        }


def evaluate_full(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    *,
    mask_id: int,
    device: torch.device,
    dtype: torch.dtype,
    characters_per_token: float = 1.0,
    stop: Stop = lambda: False,
    log: Log = lambda line: None,
) -> FullEvaluation | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    starts = np.arange(len(tokens) // length) * length
    losses, accuracies = torch.zeros(2, len(starts), BINS, dtype=torch.float64)
    rows, progress = rows_at_once(length, mask_id), at_most_every(LOG_SECONDS, log)

    def measure(chosen: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:  # (N,), (N, T) -> (N,), (N,)
        ids = torch.from_numpy(windows(tokens, starts[chosen.numpy()], length))
        return losses_and_accuracies(model, ids.to(device), masks.to(device), mask_id, dtype)

    for number in range(BINS):
        for first in range(0, len(starts), WINDOWS_PER_DRAW):
            block = np.arange(first, min(first + WINDOWS_PER_DRAW, len(starts)))
            bins, masks = masks_of_pass(block, number, length)
            found = in_pieces(model, (torch.from_numpy(block), masks), rows, stop, measure)
            if found is None:
                return None
            losses[block, bins], accuracies[block, bins] = (part.double().cpu() for part in found)
        progress(f"full validation text: {number + 1} of {BINS} passes")
    rest = rest_of_text(model, tokens, length, mask_id, device, dtype)
    return FullEvaluation(losses, accuracies, characters_per_token, length, *rest)


def rest_of_text(
    model: nn.Module, tokens: np.ndarray, length: int, mask_id: int, device: torch.device, dtype: torch.dtype
) -> tuple[int, Tensor, Tensor]:
    """The number of tokens after the last window, and of each bin their loss and accuracy (10,)."""
    rest = len(tokens) % length
    if rest == 0:
        return 0, *torch.zeros(2, BINS, dtype=torch.float64)
    padding = torch.arange(length) >= rest
    ids = torch.zeros(BINS, length, dtype=torch.long)
    ids[:, :rest] = torch.from_numpy(tokens[-rest:].astype(np.int64))
    generator = torch.Generator().manual_seed(len(tokens))
    # One ratio at the same place of each bin: together they are spread evenly over (0, 1).
    masks = torch.zeros(BINS, length, dtype=torch.bool)
    ratios = (torch.arange(BINS) + torch.rand(1, generator=generator)) / BINS
    masks[:, :rest] = sample_masks(random_masking(ratios, rest), rest, generator)
    ids, masks, padding = (part.to(device) for part in (ids, masks, padding))
    measure = partial(losses_and_accuracies, model, mask_id=mask_id, dtype=dtype, padding=padding)
    found = in_pieces(model, (ids, masks), rows_at_once(length, mask_id), lambda: False, measure)
    assert found is not None  # nothing stops it
    losses, accuracies = (part.double().cpu() for part in found)
    return rest, losses, accuracies


def masks_of_pass(block: np.ndarray, number: int, length: int) -> tuple[Tensor, Tensor]:  # (N,) -> (N,), (N, T) bool
    """The bin of each window in this pass, and its masks. The windows of one bin spread evenly over its ratios.

    Drawn on the CPU, from the number and the block alone, so that every device and every training is chosen the same.
    """
    generator = torch.Generator().manual_seed(int(block[0]) * BINS + number)
    bins = (torch.from_numpy(block) + number) % BINS
    within = torch.zeros(len(block))
    for group in range(BINS):
        members = (bins == group).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        strata = torch.arange(len(members)) + torch.rand(1, generator=generator)
        within[members[order]] = strata / max(1, len(members))
    masking = random_masking((bins + within) / BINS, length)
    return bins, sample_masks(masking, length, generator)
