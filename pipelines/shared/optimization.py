"""How a classifier is optimized: the optimizer, its learning rate, the order of the examples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np
import torch
from torch import nn


class OptimizationSettings(Protocol):
    """The settings of a pipeline that are read here."""

    @property
    def optimizer(self) -> Literal["adamw", "adam", "sgd"]: ...
    @property
    def lr(self) -> float: ...
    @property
    def scheduler(self) -> Literal["cosine", "constant"]: ...
    @property
    def weight_decay(self) -> float: ...


def learning_rate(iteration: int, max_iters: int, settings: OptimizationSettings) -> float:
    """Of the step that leads from `iteration` to the next: constant, or half a cosine from lr to 0 at max_iters
    (Loshchilov and Hutter 2017, without restarts)."""
    if settings.scheduler == "constant":
        return settings.lr
    return settings.lr * 0.5 * (1 + math.cos(math.pi * iteration / max_iters))


@lru_cache(maxsize=1)  # called at every step of an epoch
def order(seed: int, epoch: int, examples: int) -> np.ndarray:  # -> (examples,) int64
    """A shuffle for each epoch that depends on nothing else, so that a resumed training needs no state of it."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def optimizer_of(part: nn.Module, settings: OptimizationSettings) -> torch.optim.Optimizer:
    parameters = part.parameters()
    match settings.optimizer:
        case "adamw":
            return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        case "adam":
            return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
        case "sgd":
            return torch.optim.SGD(parameters, lr=settings.lr, momentum=0.9, weight_decay=settings.weight_decay)


def set_rate(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
