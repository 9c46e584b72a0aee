"""Adapt a step size during warm-up. Knows nothing of samplers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Hoffman and Gelman 2014, section 3.2: a smaller GAMMA lets steps vary more, T0 damps the first ones, and a larger
# KAPPA gives the last ones more weight.
GAMMA, T0, KAPPA = 0.05, 10.0, 0.75
CROSSINGS = 100  # halvings or doublings: a step that differs from the guess by a factor of 2^100 does not exist


class DualAveraging:
    """Drives acceptances to `target` (Hoffman and Gelman 2014, "The No-U-Turn Sampler", equation 6).

    `step` (C, 1) is for the next moves of the warm-up, `average` (C, 1) for the time after it.
    """

    def __init__(self, first: Tensor, target: float) -> None:
        self._target = target
        self.step = self.average = first
        self._anchor = (10 * first).log()
        self._shortfall, self._seen = torch.zeros_like(first), 0

    def update(self, acceptance: Tensor) -> None:  # (C, 1)
        self._seen += 1
        weight = 1 / (self._seen + T0)
        self._shortfall = self._shortfall + weight * (self._target - acceptance - self._shortfall)
        log_step = self._anchor - math.sqrt(self._seen) / GAMMA * self._shortfall
        weight = self._seen**-KAPPA
        self.step = log_step.exp()
        self.average = (weight * log_step + (1 - weight) * self.average.log()).exp()


def first_steps(acceptance: Callable[[Tensor], Tensor], guess: Tensor) -> Tensor:  # (C, 1) -> (C, 1)
    """Double or halve until the acceptance of one move crosses a half (Hoffman and Gelman 2014, algorithm 4)."""
    step = guess
    longer = acceptance(step) > 0.5
    crossed = torch.zeros_like(longer)
    for _ in range(CROSSINGS):
        step = torch.where(crossed, step, torch.where(longer, step * 2, step / 2))
        crossed = crossed | ((acceptance(step) > 0.5) != longer)
        if crossed.all():
            break
    return step


class Smoothed:
    """An exponential moving average with correction for its start at 0 (Kingma and Ba 2015, section 3)."""

    def __init__(self, memory: float) -> None:
        self._keep = 1 - 1 / memory
        self._sum, self._weight = 0.0, 0.0

    def update(self, value: float) -> float:
        self._sum = self._keep * self._sum + (1 - self._keep) * value
        self._weight = self._keep * self._weight + (1 - self._keep)
        return self.value

    @property
    def value(self) -> float:
        """NaN before the first update."""
        return self._sum / self._weight if self._weight else math.nan
