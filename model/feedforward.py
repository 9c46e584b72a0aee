"""A CNN and an MLP with a linear head: logits, and the features before the head. No files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Feedforward(nn.Module):
    """`body` computes features of an input, `head` computes logits from them."""

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, classes)

    def features(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, width)
        return self.body(x)

    def forward(self, x: Tensor) -> Tensor:  # (B, ...) -> (B, C)
        return self.head(self.features(x))

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def mlp(shape: Sequence[int], classes: int, *, layers: int, width: int, generator: torch.Generator) -> Feedforward:
    """Linear and ReLU, `layers` times; inputs of any shape are flattened."""
    widths = [math.prod(shape)] + [width] * layers
    hidden = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return initialised(Feedforward(nn.Sequential(nn.Flatten(), *hidden), width, classes), generator)


def cnn(
    shape: Sequence[int], classes: int, *, layers: int, channels: int, width: int, generator: torch.Generator
) -> Feedforward:
    """Convolutions of 3 x 3 with ReLU, each with twice the channels and half the side of the one before; then a
    hidden layer. A side below 4 is not halved."""
    before, *sides = shape  # (channels, height, width)
    parts: list[nn.Module] = []
    for number in range(layers):
        parts += [nn.Conv2d(before, channels * 2**number, 3, padding=1), nn.ReLU()]
        before = channels * 2**number
        if min(sides) >= 4:
            parts.append(nn.MaxPool2d(2))
            sides = [side // 2 for side in sides]
    parts += [nn.Flatten(), nn.Linear(before * math.prod(sides), width), nn.ReLU()]
    return initialised(Feedforward(nn.Sequential(*parts), width, classes), generator)


def initialised(network: Feedforward, generator: torch.Generator) -> Feedforward:
    """Weights from `generator` alone (He et al. 2015), so that other random draws change nothing."""
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(part.bias)
    return network
