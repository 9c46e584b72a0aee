"""Scores that separate rows of another distribution from the training rows: a higher score means further away.

Each is fitted on clean training rows, from the logits and the features of the network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.robustness.settings import DetectorSettings

CHUNK = 1024  # rows whose distances to all training rows are in memory at a time


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of the network for rows; float64, on the CPU."""

    logits: Tensor  # (N, C)
    features: Tensor  # (N, d)

    @property
    def answers(self) -> np.ndarray:  # (N,) int64
        return self.logits.argmax(1).numpy()


Score = Callable[[Outputs], Tensor]  # -> (N,) float64
Scores = dict[str, np.ndarray]  # name of the detector -> (N,) float64


def fit(settings: DetectorSettings, train: Outputs, y: np.ndarray) -> dict[str, Score]:
    """All four, by name; `train` and `y` are the clean training rows."""
    return {
        "msp": maximum_softmax,
        "energy": lambda rows: energy(rows, settings.temperature),
        "mahalanobis": mahalanobis(train.features, torch.from_numpy(y)),
        "knn": nearest_neighbours(train.features, settings.neighbours, normalise=settings.normalise),
    }


def score(detectors: Mapping[str, Score], rows: Outputs) -> Scores:
    return {name: detector(rows).numpy() for name, detector in detectors.items()}


def threshold(clean: np.ndarray, percentile: float) -> float:
    """A row counts as detected when its score is at least this: so do 5 % of the clean rows at the 95th percentile."""
    return float(np.percentile(clean, percentile))


def maximum_softmax(rows: Outputs) -> Tensor:
    """1 - the largest probability (Hendrycks and Gimpel 2017)."""
    return 1 - rows.logits.softmax(1).amax(1)


def energy(rows: Outputs, temperature: float) -> Tensor:
    """-T log sum exp(logit / T) (Liu et al. 2020, equation 4)."""
    return -temperature * (rows.logits / temperature).logsumexp(1)


def mahalanobis(features: Tensor, y: Tensor) -> Score:  # (N, d), (N,)
    """The squared distance to the nearest class mean under a covariance that the classes share (Lee et al. 2018,
    equation 2). The covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004): features that no
    training row uses would make it singular."""
    from sklearn.covariance import ledoit_wolf

    means = torch.stack([features[y == label].mean(0) for label in y.unique()])  # (C, d)
    spread = features - means[torch.searchsorted(y.unique(), y)]
    covariance, _ = ledoit_wolf(spread.numpy(), assume_centered=True)
    if not covariance.any():
        covariance = np.eye(len(covariance))  # features that never vary: the plain distance
    factor = torch.linalg.cholesky(torch.from_numpy(covariance))

    def distance(rows: Outputs) -> Tensor:
        away = rows.features[:, None] - means  # (N, C, d)
        white = torch.linalg.solve_triangular(factor, away.flatten(0, 1).T, upper=False)  # (d, N C)
        return white.square().sum(0).view(len(rows.features), len(means)).amin(1)

    return distance


def nearest_neighbours(features: Tensor, k: int, *, normalise: bool) -> Score:  # (N, d)
    """The distance to the k-th nearest training row (Sun et al. 2022)."""
    bank, k = direction(features) if normalise else features, min(k, len(features))

    def nearest(queries: Tensor) -> Tensor:  # (M, d) -> (M,)
        exact = "donot_use_mm_for_euclid_dist"  # the other way cancels where two rows are close to each other
        return torch.cdist(queries, bank, compute_mode=exact).kthvalue(k).values

    def distance(rows: Outputs) -> Tensor:
        queries = direction(rows.features) if normalise else rows.features
        return torch.cat([nearest(part) for part in queries.split(CHUNK)])

    return distance


def direction(features: Tensor) -> Tensor:  # (N, d) -> (N, d)
    return torch.nn.functional.normalize(features, dim=1)
