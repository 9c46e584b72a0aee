"""Wrong characters for error detection: their positions, their values, the loss. No files, no settings.

Detection of replaced characters: ELECTRA (Clark et al. 2020), where a replacement that happens to agree with the text
counts as right, too. Batched over rows of different kinds, and never reads a value from the device, so that it does
not wait for a GPU.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.masks import Masking, sample_masks

KINDS = ("random", "sticky", "fragment")
RANDOM, STICKY, FRAGMENT = range(3)


@dataclass(frozen=True, slots=True)
class Corruption:
    """How each row of a batch is to be corrupted."""

    kind: Tensor  # (B,) int64, an index into KINDS
    positions: Masking  # which positions are replaced; B rows


def corruption(kind: Tensor, ratio: Tensor, length: int, p1: float, p2: float) -> Corruption:  # (B,), (B,) in (0, 1]
    """Rows that replace a fraction `ratio` of their positions, rounded upwards: uniform ratios give uniform counts.

    Rows of the kind `random` choose positions uniformly, the others in runs (model.masks.sample_masks).
    """
    count = (ratio * length).ceil().long().clamp(1, length)
    in_runs = (kind != RANDOM).float()
    return Corruption(kind, Masking(count, in_runs * p1, in_runs * p2))


def draw_kinds(weights: Tensor, rows: int, generator: torch.Generator) -> Tensor:  # (K,) -> (rows,) int64
    """An index for each row, drawn in proportion to `weights`, of which not all are zero."""
    upper = weights.cumsum(0)
    drawn = torch.rand(rows, generator=generator, device=generator.device)  # below 1, so the last bound is not needed
    return torch.searchsorted(upper[:-1] / upper[-1], drawn, right=True)


def corrupt(
    ids: Tensor, plan: Corruption, frequencies: Tensor, generator: torch.Generator, elsewhere: Tensor
) -> Tensor:  # (B, T), B rows, (V,) int64, (B, S) with S >= T -> (B, T)
    """The text with the chosen positions replaced. Wrong are the positions where it differs from `ids`.

    Rows of the kinds `random` and `sticky` get characters drawn in proportion to `frequencies`, never the original
    one; rows of the kind `fragment`, for each run of positions as long a piece of `elsewhere`, which may agree
    with the text here and there. At least two characters must have a frequency above zero.
    """
    chosen = sample_masks(plan.positions, ids.shape[1], generator)
    drawn = other_characters(ids, frequencies, generator)
    moved = fragments(chosen, elsewhere, generator)
    return torch.where(chosen, torch.where(plan.kind[:, None] == FRAGMENT, moved, drawn), ids)


def other_characters(ids: Tensor, frequencies: Tensor, generator: torch.Generator) -> Tensor:
    """A character for each position, drawn in proportion to `frequencies` (V,), never the original.  (B, T) -> (B, T)

    By inversion in integers, hence without rounding: each character owns as many of the numbers below the total
    as its frequency says, and a number is drawn from those that the original does not own.
    """
    upper = frequencies.cumsum(0)  # (V,) character c owns upper[c] - frequencies[c] up to upper[c] - 1
    own = frequencies[ids]
    number = torch.randint(2**62, ids.shape, generator=generator, device=ids.device) % (upper[-1] - own)
    number += torch.where(number >= upper[ids] - own, own, 0)
    return torch.searchsorted(upper, number, right=True)


def fragments(chosen: Tensor, elsewhere: Tensor, generator: torch.Generator) -> Tensor:
    """For each run of chosen positions a piece of `elsewhere` from anywhere.  (B, T) bool, (B, S) -> (B, T)

    Values at positions that are not chosen are arbitrary.
    """
    length = chosen.shape[1]
    position = torch.arange(length, device=chosen.device)
    begins = chosen.clone()
    begins[:, 1:] &= ~chosen[:, :-1]
    begin = torch.where(begins, position, 0).cummax(1).values  # of the run of a position
    end = torch.where(chosen, length, position).flip(1).cummin(1).values.flip(1)  # the first position after it
    # One number for each run: the one drawn at its beginning.
    drawn = torch.randint(2**62, chosen.shape, generator=generator, device=chosen.device).gather(1, begin)
    start = drawn % (elsewhere.shape[1] - (end - begin) + 1)
    return elsewhere.gather(1, (start + position - begin).clamp(max=elsewhere.shape[1] - 1))


def correction_targets(ids: Tensor, corrupted: Tensor, classes: int) -> Tensor:  # (B, T), (B, T) -> (B, T)
    """The target class at every position. The last class means "wrong"; a right character has class 0 of two classes,
    otherwise its own."""
    right = ids if classes > 2 else torch.zeros_like(ids)
    return torch.where(corrupted == ids, right, classes - 1)


def correction_losses(logits: Tensor, targets: Tensor) -> Tensor:  # (B, T, C), (B, T) -> (B, T)
    """Cross-entropy in nats at every position, right and wrong ones alike. In float32 whatever the logits are.

    The wrong ones, which are much rarer, get no larger weight: weights would shift the learned probabilities away from
    the frequency of errors, so that 0.5 would no longer mean even odds. The ranking of positions, by which a sampler
    picks the worst, hardly depends on the weights.
    """
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)


def wrong_log_odds(logits: Tensor) -> Tensor:  # (B, T, C) -> (B, T) float32
    """ln(p / (1 - p)) of the probability p of the last class, "wrong". Unlike p it does not round to ties near 1."""
    logits = logits.float()
    return logits[..., -1] - logits[..., :-1].logsumexp(-1)
