"""Masks with exact counts, uniform or in runs: pure functions, on any device, which never wait for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

MAX_ROUNDS = 1000  # a row that has not reached its count by then, with probabilities near zero, is completed at random
NEVER = 2**30

# Passes over all positions where masks repel (p2 < p1). The result is exact once it has propagated along the longest
# run of neighbours that would mask strictly one after another: a run of m has a probability of about 1 / m! at any
# position.
CROWDING_PASSES = 16


@dataclass(frozen=True, slots=True)
class Masking:
    """How each row of a batch is to be masked. Rows with p1 = p2 = 0 are masked uniformly at random."""

    count: Tensor  # (B,) int64, positions to mask, 1..T
    p1: Tensor  # (B,) float32, a position masks with p1 per round while no neighbour is masked
    p2: Tensor  # (B,) float32, and with p2 while at least one is


def sample_masks(masking: Masking, length: int, generator: torch.Generator) -> Tensor:  # (B,) x T -> (B, T) bool
    """Masks with exactly `masking.count` masked positions in each row.

    Rounds: every unmasked position masks with p1 or p2, by the masks of the round before, until the row has reached
    its count. The excess is unmasked at random; a row that can grow no further (p2 = 0 and every free position
    beside a mask) is completed at random.
    """
    arrival = arrival_rounds(masking, length, generator)
    last = arrival.sort(dim=1).values.gather(1, masking.count[:, None] - 1)
    return ranked(arrival <= last.clamp(max=MAX_ROUNDS), masking.count, generator)


def random_masks(count: Tensor, length: int, generator: torch.Generator) -> Tensor:  # (B,) -> (B, T) bool
    """Uniform masks with exactly `count` masked positions in each row."""
    none = torch.zeros(count.shape[0], length, dtype=torch.bool, device=count.device)
    return ranked(none, count, generator)


def ranked(first: Tensor, count: Tensor, generator: torch.Generator) -> Tensor:  # (B, T), (B,) -> (B, T) bool
    """The first `count` positions of each row, those of `first` before the others, each kind in random order."""
    order = torch.rand(first.shape, generator=generator, device=first.device) + first
    taken = torch.arange(first.shape[1], device=first.device) < count[:, None]
    return torch.zeros_like(first).scatter_(1, order.argsort(dim=1, descending=True), taken)


def arrival_rounds(masking: Masking, length: int, generator: torch.Generator) -> Tensor:  # (B,) -> (B, T) int64
    """The round in which each position would mask if the rounds never ended; NEVER or more for those that would not.

    Whether a position masks in a round depends only on the past of its neighbours, so the events can be drawn in
    advance, as geometric waiting times, and the rounds need not be simulated.
    """
    p1, p2 = masking.p1[:, None], masking.p2[:, None]
    low, high = torch.minimum(p1, p2), torch.maximum(p1, p2)
    draw = (masking.count.shape[0], length)
    # Two independent events a round, one of them always possible (`low`): together they have probability `high`.
    always = waiting_rounds(low, draw, generator)
    sometimes = waiting_rounds((high - low) / (1 - low).clamp(min=1e-9), draw, generator)
    return torch.where(p2 >= p1, spreading(always, sometimes), crowding(always, sometimes))


def spreading(alone: Tensor, spread: Tensor) -> Tensor:  # (B, T), (B, T) -> (B, T)
    """t_i = min(alone_i, spread_i + the smaller t of its neighbours): masks attract (p2 >= p1).

    This is first-passage percolation on a line: t_i is the least, over all j, of alone_j and the spreads on the way
    from j to i. With C the running sum of spreads, from the left it is C_i + min over j <= i of (alone_j - C_j).
    """

    def from_the_left(alone: Tensor, spread: Tensor) -> Tensor:
        way = spread.cumsum(1)
        return way + (alone - way).cummin(1).values

    from_the_right = from_the_left(alone.flip(1), spread.flip(1)).flip(1)
    return torch.minimum(from_the_left(alone, spread), from_the_right)


def crowding(always: Tensor, alone: Tensor) -> Tensor:  # (B, T), (B, T) -> (B, T)
    """The first of `always` and, as long as no neighbour is masked, `alone`: masks repel (p2 < p1)."""
    undisturbed = torch.minimum(always, alone)
    arrival = undisturbed
    for _ in range(CROWDING_PASSES):
        neighbour = torch.full_like(arrival, NEVER)
        neighbour[:, 1:] = arrival[:, :-1]
        neighbour[:, :-1] = torch.minimum(neighbour[:, :-1], arrival[:, 1:])
        # Both may mask in the same round: only the round before matters.
        arrival = torch.where(undisturbed <= neighbour, undisturbed, always)
    return arrival


def waiting_rounds(p: Tensor, draw: tuple[int, int], generator: torch.Generator) -> Tensor:  # -> draw, int64
    """Geometric: the number of rounds, from 1, until something of probability `p` per round happens."""
    exponential = -torch.log1p(-torch.rand(draw, generator=generator, device=p.device))
    return (exponential / -torch.log1p(-p)).ceil().nan_to_num(nan=NEVER, posinf=NEVER).clamp(1, NEVER).long()


def random_masking(ratio: Tensor, length: int) -> Masking:  # (B,) in [0, 1] -> B rows
    """Uniform masks; rounding upwards makes ratios uniform in (0, 1] into counts uniform in 1..length."""
    nothing = torch.zeros(ratio.shape, dtype=torch.float32, device=ratio.device)
    return Masking((ratio * length).ceil().long().clamp(1, length), nothing, nothing)


def stratified(batches: int, rows: int, generator: torch.Generator) -> Tensor:  # -> (batches, rows), on its device
    """Uniform numbers in (0, 1]; those of a batch are in different strata (MDLM, appendix C)."""
    shift = torch.rand(batches, 1, generator=generator, device=generator.device)
    strata = torch.arange(rows, device=generator.device)
    return 1 - (strata + shift) / rows % 1


def apply_mask(ids: Tensor, masks: Tensor, mask_id: int) -> Tensor:  # (B, T), (B, T) -> (B, T)
    return ids.masked_fill(masks, mask_id)
