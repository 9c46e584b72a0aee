"""Run a sampler through its warm-up and its draws, and keep what it met. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from pipelines.llc.samplers import Sampler

Tell = Callable[[int, float], None]  # hears how many draws there are, those of the warm-up included, and the mean of L


@dataclass(frozen=True, slots=True)
class Trace:
    """L at each draw of each chain, in nats."""

    warmup: np.ndarray  # (C, draws of the warm-up)
    losses: np.ndarray  # (C, draws)
    step_size: float
    acceptance: float  # NaN where every move is taken
    seconds: float
    warmup_seconds: float  # of them


def run(sampler: Sampler, warmup: int, draws: int, *, tell: Tell = lambda done, loss: None) -> Trace:
    began = settled = time.perf_counter()
    losses = []
    for number in range(warmup + draws):
        if number == warmup // 2:
            sampler.halfway()
        if number == warmup:
            sampler.settle()
            settled = time.perf_counter()
        losses.append(sampler.draw(adapting=number < warmup))
        tell(number + 1, losses[-1].mean().item())
    met = torch.stack(losses, 1).cpu().numpy()  # (C, warmup + draws)
    ended = time.perf_counter()
    return Trace(
        warmup=met[:, :warmup], losses=met[:, warmup:], step_size=sampler.step_size, acceptance=sampler.acceptance,
        seconds=ended - began, warmup_seconds=settled - began,
    )  # fmt: skip
