"""Masked diffusion: which positions are hidden, and what predicting them costs. No files, no settings.

The process hides positions one way only (absorbing state): a row with l of its L positions hidden stands for the
time t = l / L of the linear schedule. Sources: MDLM (Sahoo et al. 2024), MD4 (Shi et al. 2024), LLaDA (Nie et al.
2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_ROUNDS = 1000  # a row that is not there by then, with probabilities near zero, is filled up at random


@dataclass(frozen=True, slots=True)
class Masking:
    """How each row of a batch is to be masked. Rows with p1 = p2 = 0 are masked uniformly at random."""

    count: Tensor  # (B,) int64, positions to hide, 1..T
    p1: Tensor  # (B,) float32, a position masks with p1 per round while no neighbour is masked
    p2: Tensor  # (B,) float32, and with p2 while at least one is


def sample_masks(masking: Masking, length: int, generator: torch.Generator) -> Tensor:  # (B,) x T -> (B, T) bool
    """Masks with exactly `masking.count` hidden positions in each row.

    Rounds: every unmasked position masks with p1 or p2, by the masks of the round before, until the row has reached
    its count. What is too much is unmasked at random; a row that can grow no further (p2 = 0 and every free position
    beside a mask) is filled up at random.
    """
    device = masking.count.device
    count, p1, p2 = masking.count[:, None], masking.p1[:, None], masking.p2[:, None]
    masked = torch.zeros(count.shape[0], length, dtype=torch.bool, device=device)
    for _ in range(MOST_ROUNDS):
        beside = torch.zeros_like(masked)
        beside[:, 1:] |= masked[:, :-1]
        beside[:, :-1] |= masked[:, 1:]
        probability = torch.where(beside, p2, p1).masked_fill_(masked, 0.0)
        probability *= masked.sum(1, keepdim=True) < count  # a row that has arrived rests
        if not probability.any():
            break
        masked |= torch.rand(masked.shape, generator=generator, device=device) < probability
    # One ranking cuts the excess and fills the gap: masked positions first, each kind in random order.
    order = torch.rand(masked.shape, generator=generator, device=device) + masked
    rank = order.argsort(dim=1, descending=True).argsort(dim=1)
    return rank < count


def random_masking(ratio: Tensor, length: int) -> Masking:  # (B,) in [0, 1] -> B rows
    """Uniform masks; rounding upwards makes ratios uniform in (0, 1] into counts uniform in 1..length."""
    nothing = torch.zeros(ratio.shape, dtype=torch.float32, device=ratio.device)
    return Masking((ratio * length).ceil().long().clamp(1, length), nothing, nothing)


def stratified(rows: int, generator: torch.Generator) -> Tensor:  # -> (rows,) on the generator's device
    """Uniform numbers in (0, 1], one per row, of which each lies in a stratum of its own (MDLM, appendix C)."""
    shift = torch.rand(1, generator=generator, device=generator.device)
    strata = torch.arange(rows, device=generator.device)
    return 1 - (strata + shift) / rows % 1


def hide(ids: Tensor, masks: Tensor, mask_id: int) -> Tensor:  # (B, T), (B, T) -> (B, T)
    return ids.masked_fill(masks, mask_id)


def masked_cross_entropy(logits: Tensor, ids: Tensor, masks: Tensor) -> Tensor:  # (B, T, V), (B, T), (B, T) -> (B, T)
    """Cross-entropy in nats at hidden positions, zero at the others. In float32 whatever the logits are."""
    losses = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), reduction="none")
    return losses.view(ids.shape) * masks


def unmasking_loss(logits: Tensor, ids: Tensor, masks: Tensor) -> Tensor:  # -> ()
    """Mean cross-entropy over the hidden positions of the batch, each position counting the same."""
    return masked_cross_entropy(logits, ids, masks).sum() / masks.sum()


def elbo_loss(logits: Tensor, ids: Tensor, masks: Tensor) -> Tensor:  # -> ()
    """The negative ELBO in nats per position: 1/t times the cross-entropy, t = l / L (MDLM, equation 10).

    With t uniform and exactly l positions hidden this is the mean over rows of the mean over hidden positions.
    """
    length = ids.shape[1]
    ratio = masks.sum(1) / length  # (B,)
    return (masked_cross_entropy(logits, ids, masks).sum(1) / ratio).mean() / length
