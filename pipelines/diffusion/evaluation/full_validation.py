"""The validation loss over the full validation text: every window, masked at every ratio. Prints nothing.

The estimator is that of masked_loss.py. Here each of the W windows that do not overlap is chosen ten
times, once in each bin of the mask ratio, so that what differs between windows does not blur the result: what is left
is the chance of the masks. The tokens after the last window are a window of their own, filled up with masks that do
not count, as if nothing were known of what follows the text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from model.masks import random_masking, sample_masks
from pipelines.diffusion.evaluation.masked_loss import BINS, eval_mode, losses_and_accuracies, rows_at_once
from pipelines.diffusion.text.windows import windows
from pipelines.shared.metrics import Log

LOG_SECONDS = 10.0
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
    stop: Callable[[], bool] = lambda: False,
    log: Log = lambda line: None,
) -> FullEvaluation | None:
    """None when `stop` returned True. `log` gets a line about the progress now and then."""
    starts = np.arange(len(tokens) // length) * length
    losses, accuracies = torch.zeros(2, len(starts), BINS, dtype=torch.float64)
    rows, logged = rows_at_once(length, mask_id), time.monotonic()
    with eval_mode(model):
        for number in range(BINS):
            for first in range(0, len(starts), WINDOWS_PER_DRAW):
                block = np.arange(first, min(first + WINDOWS_PER_DRAW, len(starts)))
                bins, masks = masks_of_pass(block, number, length)
                for piece in torch.arange(len(block)).split(rows):
                    if stop():
                        return None
                    chosen = block[piece.numpy()]  # indexed by an array, so that a single window stays a row
                    ids = torch.from_numpy(windows(tokens, starts[chosen], length)).to(device)
                    loss, accuracy = losses_and_accuracies(model, ids, masks[piece].to(device), mask_id, dtype)
                    losses[chosen, bins[piece]] = loss.double().cpu()
                    accuracies[chosen, bins[piece]] = accuracy.double().cpu()
            if time.monotonic() - logged > LOG_SECONDS:
                logged = time.monotonic()
                log(f"full validation text: {number + 1} of {BINS} passes")
        rest, rest_losses, rest_accuracies = rest_of_text(model, tokens, length, mask_id, device, dtype)
    return FullEvaluation(losses, accuracies, characters_per_token, length, rest, rest_losses, rest_accuracies)


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
    found = [
        losses_and_accuracies(model, ids[some], masks[some], mask_id, dtype, padding)
        for some in torch.arange(BINS, device=device).split(rows_at_once(length, mask_id))
    ]
    losses, accuracies = (torch.cat(part).double().cpu() for part in zip(*found, strict=True))
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
