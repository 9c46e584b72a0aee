"""Autoregressive likelihoods: each token given those to its left. Knows no files and no settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def shifted(ids: Tensor, first: int) -> Tensor:  # (B, T) -> (B, T)
    """What a causal network reads to predict `ids`: each token one position late, after the token `first`."""
    return F.pad(ids[:, :-1], (1, 0), value=first)


def negative_log_likelihoods(model: nn.Module, ids: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """(B, T) -> (B, T) nats of each token given those before it, and (B, T) bool, whether it was the likeliest.

    The sum over a row is exact: -ln p(row) by the chain rule.
    """
    logits = model(shifted(ids, first)).float()
    losses = F.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none").view(ids.shape)
    return losses, torch.eq(logits.argmax(-1), ids)
