"""Two classifiers of vectors and their losses: an MLP, and one with layer-wise (greedy) training. No files.

Both predict a class from a layer's output h by its similarity to fixed anchors, one unit vector a class:
log q(h) = log_softmax(similarity(h, E) / tau). A fixed orthonormal readout costs hardly any accuracy (Hoffer et al.
2018, "Fix your classifier"), and gives every layer the same task.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Shape:
    inputs: int  # values of an image
    classes: int
    layers: int  # hidden ones
    width: int  # of each, at least `classes`


def orthonormal_anchors(classes: int, width: int, seed: int) -> Tensor:  # -> (C, width)
    """Rows uniform over all orthonormal systems: QR of a Gaussian, signs fixed by R's diagonal (Mezzadri 2007)."""
    gaussian = torch.randn(width, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return (q * r.diagonal().sign()).T.contiguous().float()


def cosine(h: Tensor, anchors: Tensor) -> Tensor:  # (B, width), (C, width) -> (B, C)
    """The cosine of the angle between h and each anchor; the length of h does not count."""
    return F.normalize(h, dim=-1) @ anchors.T


def l2(h: Tensor, anchors: Tensor) -> Tensor:  # (B, width), (C, width) -> (B, C)
    """Minus the squared distance of h, as it is, to each anchor. On unit vectors this is 2 cosine - 2."""
    return 2 * h @ anchors.T - h.square().sum(-1, keepdim=True) - anchors.square().sum(-1)


SIMILARITIES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cosine": cosine, "l2": l2}


# How far apart two predictions are. All take log-probabilities, (B, C) twice, and return nats, (B,).


def cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """H(p, q) = -sum p log q."""
    return -(log_p.exp() * log_q).sum(-1)


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) = sum p (log p - log q)."""
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) + KL(q || p), Jeffreys' divergence."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1)


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, at most ln 2 (Lin 1991)."""
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (kl(log_p, log_m) + kl(log_q, log_m)) / 2


#: R(q_i, q_next) of the greedy objective, by the name of the variant.
VARIANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ce_i_next": cross_entropy,
    "ce_next_i": lambda log_i, log_next: cross_entropy(log_next, log_i),
    "js": jensen_shannon,
    "sym_kl": symmetric_kl,
}


class Classifier(nn.Module, ABC):
    """Hidden layers of one width, and the anchors, which are saved but never trained."""

    anchors: Tensor  # (C, width)

    def __init__(self, shape: Shape, similarity: str, tau: float, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.similarity = SIMILARITIES[similarity]
        self.tau = tau
        widths = [shape.inputs] + [shape.width] * shape.layers
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        for layer in self.hidden:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # He et al. 2015
            nn.init.zeros_(layer.bias)
        self.register_buffer("anchors", orthonormal_anchors(shape.classes, shape.width, seed))

    def log_q(self, h: Tensor) -> Tensor:  # (B, width) -> (B, C)
        return F.log_softmax(self.similarity(h, self.anchors) / self.tau, dim=-1)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    @abstractmethod
    def activations(self, x: Tensor) -> list[Tensor]:  # (B, inputs) -> one (B, width) for each layer
        ...

    @abstractmethod
    def parts(self) -> list[nn.Module]:
        """The modules with an optimizer of their own, in the order of `losses`."""

    @abstractmethod
    def predictions(self, x: Tensor) -> list[Tensor]:  # (B, inputs) -> log q, (B, C) each, the output last
        ...

    @abstractmethod
    def losses(self, x: Tensor, y: Tensor) -> list[Tensor]:  # (B, inputs), (B,) -> a () for each part
        """The last one is the cross-entropy of the output, in nats."""


class MLP(Classifier):
    """Linear and ReLU, trained end to end by the cross-entropy of its last layer."""

    def activations(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer in self.hidden:
            x = F.relu(layer(x))
            outputs.append(x)
        return outputs

    def parts(self) -> list[nn.Module]:
        return [self.hidden]

    def predictions(self, x: Tensor) -> list[Tensor]:
        return [self.log_q(self.activations(x)[-1])]

    def losses(self, x: Tensor, y: Tensor) -> list[Tensor]:
        return [F.nll_loss(self.predictions(x)[-1], y)]


class Greedy(Classifier):
    """Layer-wise (greedy) training: no gradient passes from one layer to another.

    x_1 is the image, x_{i+1} = h_i without gradient, and with u_i = x_i / |x_i|

        h_i = relu(W_i u_i + b_i) + u_i     (the first layer adds no u_1 where the image has another width)
        loss_i = H(p, q_i) - lambda_i R(q_i, q_{i+1}),     q_{i+1} without gradient; the last layer without R
    """

    def __init__(
        self, shape: Shape, similarity: str, tau: float, seed: int, lambda_ace: Sequence[float], variant: str
    ) -> None:
        super().__init__(shape, similarity, tau, seed)
        if len(lambda_ace) != shape.layers - 1:
            raise ValueError(f"{len(lambda_ace)} lambdas for {shape.layers} layers: one for each but the last")
        self.lambdas = [*lambda_ace, 0.0]
        self.divergence = VARIANTS[variant]

    def activations(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer in self.hidden:
            u = F.normalize(x.detach(), dim=-1)
            h = F.relu(layer(u))
            x = h + u if h.shape == u.shape else h
            outputs.append(x)
        return outputs

    def parts(self) -> list[nn.Module]:
        return list(self.hidden)

    def predictions(self, x: Tensor) -> list[Tensor]:
        return [self.log_q(h) for h in self.activations(x)]

    def losses(self, x: Tensor, y: Tensor) -> list[Tensor]:
        predictions = self.predictions(x)
        losses = []
        for log_q, log_next, weight in zip(predictions, [*predictions[1:], None], self.lambdas, strict=True):
            loss = F.nll_loss(log_q, y)
            if weight and log_next is not None:  # not computed for 0: then all variants are equal, bit for bit
                loss = loss - weight * self.divergence(log_q, log_next.detach()).mean()
            losses.append(loss)
        return losses
