"""Regression networks whose parameters are one flat vector, as samplers need them. No files, no training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Regressor:
    """Linear layers with tanh between them and biases; a `linear` one has neither: it is a product of matrices."""

    sizes: tuple[int, ...]  # inputs, hidden widths, outputs
    linear: bool = False

    @property
    def count(self) -> int:
        return sum(rows * columns + biases for rows, columns, biases in self._shapes())

    def __call__(self, w: Tensor, x: Tensor) -> Tensor:  # (..., d), (..., n, inputs) -> (..., n, outputs)
        """Each vector of parameters applied to the same x, or to its own. Broadcasting costs a small network a third
        of what torch.func.vmap does."""
        at, last = 0, len(self.sizes) - 2
        for layer, (rows, columns, biases) in enumerate(self._shapes()):
            matrix = w[..., at : at + rows * columns].unflatten(-1, (rows, columns))
            at += rows * columns
            x = x @ matrix.mT
            if biases:
                x = x + w[..., None, at : at + biases]
                at += biases
            if layer < last and not self.linear:
                x = torch.tanh(x)
        return x

    def draw(self, generator: torch.Generator) -> Tensor:  # -> (d,)
        """Weights from N(0, 1 / fan-in), biases 0."""
        parts = []
        for rows, columns, biases in self._shapes():
            weights = torch.randn(rows * columns, generator=generator, dtype=torch.float64)
            parts += [weights / columns**0.5, torch.zeros(biases, dtype=torch.float64)]
        return torch.cat(parts)

    def _shapes(self) -> Sequence[tuple[int, int, int]]:
        """Rows, columns and biases of each layer, in the order in which they lie in the vector."""
        return [(after, before, 0 if self.linear else after) for before, after in pairwise(self.sizes)]
