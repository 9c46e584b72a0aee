"""Run a sampler through its warm-up and its draws, and return the losses. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.llc.samplers import Sampler

OnDraw = Callable[[int, float], None]  # gets the number of draws so far and the mean of L


@dataclass(frozen=True, slots=True)
class Trace:
    """L at each draw of each chain, in nats."""

    warmup: np.ndarray  # (C, draws of the warm-up)
    losses: np.ndarray  # (C, draws)
    step_size: float
    acceptance: float  # NaN where every move is accepted
    seconds: float
    warmup_seconds: float  # of them


def run(sampler: Sampler, warmup: int, draws: int, *, on_draw: OnDraw = lambda done, loss: None) -> Trace:
    began = warmup_ended = time.perf_counter()
    losses = []
    for number in range(warmup + draws):
        if number == warmup // 2:
            sampler.halfway()
        if number == warmup:
            sampler.end_warmup()
            warmup_ended = time.perf_counter()
        losses.append(sampler.draw(adapting=number < warmup))
        on_draw(number + 1, losses[-1].mean().item())
    stacked = torch.stack(losses, 1).cpu().numpy()  # (C, warmup + draws)
    ended = time.perf_counter()
    return Trace(
        warmup=stacked[:, :warmup], losses=stacked[:, warmup:], step_size=sampler.step_size,
        acceptance=sampler.acceptance, seconds=ended - began, warmup_seconds=warmup_ended - began,
    )  # fmt: skip
