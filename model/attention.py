"""Attention with rotary positions: pure functions of queries, keys and values."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Normalised queries and keys have norm sqrt(D) each, so scores are at most this times sqrt(D). Values from 1 to 3 learn
# equally well; without the factor learning is markedly slower.
QK_SCALE = 1.4

# In bfloat16 and up to this length a CPU is faster with two products and a softmax than with the fused kernel,
# whose backward pass took up to four times as long (docs/lab-notes.md); beyond it the (T, T) scores take much memory.
MAX_UNFUSED_LENGTH = 512


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool, normalised: bool, dropout: float, mask: Tensor | None = None
) -> Tensor:
    """Queries, keys and values (B, T, H, D) -> (B, T, H, D). `mask`: (T, T) bool, True where a query sees a key."""
    scale = (QK_SCALE if normalised else 1.0) / math.sqrt(q.shape[-1])
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    plain = not dropout and q.device.type == "cpu" and q.dtype == torch.bfloat16
    if plain and torch.is_grad_enabled() and q.shape[2] <= MAX_UNFUSED_LENGTH:
        scores = (q * scale) @ k.transpose(-1, -2)
        if causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        y = torch.softmax(scores, dim=-1) @ v
    else:
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=dropout, is_causal=causal, scale=scale)
    return y.transpose(1, 2)


def rotation_table(length: int, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of position times frequency, each (length, 1, 1, head_size).

    With the usual base of 10,000 most angles hardly change over a short window. With four times its length, the slowest
    one changes by about a third of a radian.
    """
    base = 4.0 * length
    frequencies = base ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    angles = angles[:, None, None, :]
    # The first half of the sines is negated here, once, so that `rotate` is two products and one sum.
    sin = angles.sin()
    sin[..., : head_size // 2].neg_()
    return angles.cos(), sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # (B, T, 2, H, D) -> (B, T, 2, H, D)
    """Turn each pair (x_i, x_{i + D/2}) by its position's angle, in the precision of `x`."""
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    return x * cos.to(x.dtype) + swapped * sin.to(x.dtype)
