"""The tempered posterior around a target's minimum: energies, gradients and curvatures of all chains at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jvp

from pipelines.llc.target import Target

Batch = tuple[Tensor, ...]  # (C, m, ...) each, a mini-batch for each chain, or (n, ...), all data for all


@dataclass(frozen=True, slots=True)
class Posterior:
    """p(w) ~ exp(-U(w)), U(w) = strength * L(w) + gamma/2 |w - w0|^2, strength = n beta (Lau et al. 2023, section 4).

    Points are (C, d), a row per chain.
    """

    target: Target
    strength: float
    gamma: float

    def losses(self, w: Tensor) -> Tensor:  # (C, d) -> (C,)
        """L at each point, over all data."""
        with torch.no_grad():
            return self.target.loss(w, *self.target.data)

    def energies(self, w: Tensor, losses: Tensor) -> Tensor:  # (C, d), (C,) -> (C,)
        """U at points whose L is known."""
        return self.strength * losses + self.gamma / 2 * (w - self.target.w0).square().sum(1)

    def gradients(self, w: Tensor, batch: Batch | None = None) -> tuple[Tensor, Tensor]:  # (C, d) -> (C, d), (C,)
        """The gradient of U, and L: over all data, or over the mini-batch of each chain."""
        w = w.detach().requires_grad_()
        losses = self.target.loss(w, *(self.target.data if batch is None else batch))
        # A chain's loss depends on its own row alone, so the gradient of the sum is that of each.
        (slopes,) = torch.autograd.grad(losses.sum(), w)
        return self._tempered(slopes, w.detach()), losses.detach()

    def curvatures(self, w: Tensor, v: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:  # (C, d) twice -> twice
        """The gradient of U on a mini-batch, and its Hessian times v (Pearlmutter 1994)."""

        def slope(w: Tensor) -> Tensor:
            return grad(lambda w: self.target.loss(w, *batch).sum())(w)

        slopes, products = jvp(slope, (w,), (v,))
        return self._tempered(slopes, w), self.strength * products + self.gamma * v

    def batch(self, chains: int, size: int, random: torch.Generator) -> Batch:
        """`size` examples for each chain, drawn with replacement; all of them, once, if there are no more."""
        data, n = self.target.data, self.target.n
        if not data or size >= n:
            return data
        rows = torch.randint(n, (chains, size), generator=random, device=random.device)
        return tuple(tensor[rows] for tensor in data)

    def _tempered(self, slopes: Tensor, w: Tensor) -> Tensor:
        return self.strength * slopes + self.gamma * (w - self.target.w0)
