"""Measures of the layers of a trained classifier: do deeper ones predict better, compress, differ?

Activations are (N, width) in float64 on the CPU: sums over thousands of examples lose too much in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

RIDGE = 1e-3  # of the probe, in units of the mean variance of an activation


def probe_accuracy(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, classes: int) -> float:
    """The accuracy of a linear probe of the layer on test examples (Alain and Bengio 2016).

    The probe is ridge regression to one-hot targets T, in closed form on centred activations A:
    W = (A'A + r I)^-1 A'T, with r = RIDGE * trace(A'A) / width.
    """
    mean = train.mean(0)
    centred = train - mean
    targets = F.one_hot(train_labels, classes).double()
    gram = centred.T @ centred
    ridge = RIDGE * gram.trace().clamp(min=1e-12) / len(gram)
    weights = torch.linalg.solve(gram + ridge * torch.eye(len(gram)), centred.T @ (targets - targets.mean(0)))
    guesses = ((test - mean) @ weights + targets.mean(0)).argmax(1)
    return (guesses == test_labels).double().mean().item()


def participation_ratio(activations: Tensor) -> float:
    """How many directions the activations fill: (sum of eigenvalues)^2 / (sum of their squares), of the covariance.

    From 1 for a line to the width for a ball; 0 where nothing varies (Gao et al. 2017). Computed without eigenvalues:
    the sums are trace(C) and trace(C C).
    """
    centred = activations - activations.mean(0)
    covariance = centred.T @ centred
    squares = covariance.square().sum()
    return (covariance.trace().square() / squares).item() if squares > 0 else 0.0


def cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two layers: |Y'X|^2 / (|X'X| |Y'Y|), Frobenius norms of centred activations.

    1: the same up to rotation and scale; 0: nothing in common (Kornblith et al. 2019).
    """
    x, y = one - one.mean(0), other - other.mean(0)
    norms = (x.T @ x).norm() * (y.T @ y).norm()
    return ((y.T @ x).square().sum() / norms).item() if norms > 0 else 0.0
