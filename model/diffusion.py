"""Masked diffusion: the loss at masked positions, and the weight of each. No files, no settings.

The process only masks positions (absorbing state): a row with l of its L positions masked corresponds to the
time t = l / L of the linear schedule. Sources: MDLM (Sahoo et al. 2024), MD4 (Shi et al. 2024), LLaDA (Nie et al.
2025).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:  # (M, V), (M,), (M,) -> ()
    """The sum of weight times cross-entropy in nats. In float32 whatever the logits are."""
    return (F.cross_entropy(logits.float(), targets, reduction="none") * weights).sum()


def masked_cross_entropy(logits: Tensor, ids: Tensor, masks: Tensor) -> Tensor:  # (B, T, V), (B, T), (B, T) -> (B, T)
    """Cross-entropy in nats at masked positions, zero at the others. In float32 whatever the logits are."""
    losses = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), reduction="none")
    return losses.view(ids.shape) * masks


def unmasking_weights(masks: Tensor) -> Tensor:  # (N, B, T) bool -> (N, B, T)
    """Each masked position of a batch has the same weight: the loss is the mean over them."""
    return masks / masks.sum((1, 2), keepdim=True)


def elbo_weights(masks: Tensor, largest: float = 0.0) -> Tensor:  # (N, B, T) bool -> (N, B, T)
    """1/t = L/l for each masked position, over B and L: the sum is the negative ELBO in nats per position.

    MDLM, equation 10; with exactly l positions masked and l uniform this is the mean over rows of the mean over masked
    positions. `largest`, unless it is 0, limits L/l: less noise from rows with few masks, but no longer a bound.
    """
    _, B, L = masks.shape
    weight = L / masks.sum(2, keepdim=True)
    if largest:
        weight = weight.clamp(max=largest)
    return masks * weight / (B * L)


def gather_masked(values: Tensor, at: Tensor) -> Tensor:  # (N, B, T), (N, M) -> (N, M)
    return values.flatten(1).gather(1, at)


def masked_positions(masks: Tensor, most: int) -> Tensor:  # (N, B, T) bool -> (N, most) int64
    """Flat positions in each of N batches: the masked ones first, in order, then others up to `most`."""
    # As numbers: not every device sorts truth values.
    return torch.argsort(masks.flatten(1).to(torch.uint8), dim=1, descending=True, stable=True)[:, :most]
