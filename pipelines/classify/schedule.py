"""What changes while a classifier is trained: the learning rate and the order of the images. Pure functions."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from pipelines.classify.settings import ClassifySettings


def learning_rate(iteration: int, max_iters: int, settings: ClassifySettings) -> float:
    """Of the step that leads from `iteration` to the next: constant, or half a cosine from lr to 0 at max_iters
    (Loshchilov and Hutter 2017, without restarts)."""
    if settings.scheduler == "constant":
        return settings.lr
    return settings.lr * 0.5 * (1 + math.cos(math.pi * iteration / max_iters))


@lru_cache(maxsize=1)  # asked for at every step of an epoch
def order(seed: int, epoch: int, examples: int) -> np.ndarray:  # -> (examples,) int64
    """A shuffle for each epoch that depends on nothing else, so that a resumed training needs no state of it."""
    return np.random.default_rng([seed, epoch]).permutation(examples)
