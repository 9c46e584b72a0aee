"""How well a model fills a gap of a known text: likelihood and exact match by the length of the gap. Prints nothing.

A masked-diffusion model sees both sides. The likelihood of a gap is taken along a random order of its positions, each
given what is left of the text and the positions before it in the order: the mean is an upper bound of -ln p of the gap
given the text on both sides, exact for a gap of one. An autoregressive model sees the left side only, where it is
exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from model import sampling
from model.drawing import Draw
from pipelines.diffusion.sampling.load import TrainedModel

Predict = Callable[[Tensor], Tensor]  # (B, T) ids -> (B, T, V) logits


@dataclass(frozen=True, slots=True)
class Infilling:
    length: int  # tokens of the gap
    gaps: int
    nll: float  # nats per token of the gap, at most
    exact: float  # fraction of gaps that the likeliest answers fill as the text has them
    right: float  # fraction of their tokens

    @property
    def exact_stderr(self) -> float:
        return float(np.sqrt(self.exact * (1 - self.exact) / self.gaps))


def infilling(predict: Predict, ids: Tensor, length: int, *, mask_id: int, left_only: bool, seed: int = 0) -> Infilling:
    """Of one gap of `length` in the middle of each window (N, T). `left_only`: of an autoregressive model."""
    where = gap_of(ids, length)
    nll = nats_of_gap(predict, ids, where, mask_id=mask_id, left_only=left_only, seed=seed)
    filled = fill(predict, ids, where, mask_id=mask_id, left_only=left_only)
    right = torch.eq(filled, ids)[where].view(len(ids), length)
    return Infilling(length, len(ids), nll / length, right.all(1).double().mean().item(), right.double().mean().item())


def gap_of(ids: Tensor, length: int) -> Tensor:  # (N, T) -> (N, T) bool
    """The same places for each: the middle of the window."""
    begin = (ids.shape[1] - length) // 2
    where = torch.zeros_like(ids, dtype=torch.bool)
    where[:, begin : begin + length] = True
    return where


def nats_of_gap(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, left_only: bool, seed: int) -> float:
    """The mean over windows, in nats of a whole gap."""
    generator = torch.Generator().manual_seed(seed)
    length = int(where[0].sum())
    places = where[0].nonzero().flatten()
    order = torch.stack([torch.randperm(length, generator=generator) for _ in range(len(ids))])
    order = torch.arange(length).expand(len(ids), -1) if left_only else order
    seen, total = ids.masked_fill(where, mask_id), 0.0
    rows = torch.arange(len(ids))
    for step in range(length):
        at = places[order[:, step].to(places.device)]  # (N,)
        logits = predict(seen)[rows, at].float()
        total += F.cross_entropy(logits, ids[rows, at]).item()
        seen = seen.clone()
        seen[rows, at] = ids[rows, at]
    return total


def fill(predict: Predict, ids: Tensor, where: Tensor, *, mask_id: int, left_only: bool) -> Tensor:
    """The likeliest answer at a time, the surest position first, or from left to right."""
    draw = Draw([torch.Generator()], temperature=0.0)
    if left_only:
        sampler = partial(sampling.left_to_right, mask_id=mask_id, draw=draw)
    else:
        sampler = partial(sampling.confidence, mask_id=mask_id, draw=draw, steps=int(where[0].sum()))
    *_, last = sampler(predict, ids.masked_fill(where, mask_id), where)
    return last


def of_model(model: TrainedModel, ids: Tensor, lengths: list[int], rows: int = 64) -> list[Infilling]:
    """The gaps of each length in windows (N, T) of the model, `rows` windows at a time."""

    def predict(some: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([model.predict(part) for part in some.split(rows)])

    return [
        infilling(predict, ids, length, mask_id=model.mask_id, left_only=model.is_autoregressive) for length in lengths
    ]
