"""Muon with equal matrices in one batch, and steps that leave everything as it was (Jordan et al. 2024).

torch.optim.Muon takes its matrices one by one, some 30 small kernels each, while a GPU waits for the host. Here the
matrices of one shape are orthogonalised together, so the launches of a step depend on the number of shapes, not of
layers. The state and its checkpoints are those of torch.optim.Muon.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipelines.shared.devices import has_bfloat16_units

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic, the defaults of torch.optim.Muon
STEPS = 5


@dataclass(frozen=True, slots=True)
class Stack:
    """Matrices of one shape (r, c), and their momenta in one tensor (n, r, c)."""

    matrices: list[Tensor]
    momenta: Tensor


class BatchedMuon(torch.optim.Muon):
    """torch.optim.Muon with another step: `step_unless`, for which a gradient need not be finite."""

    def __init__(self, matrices: Iterable[Tensor], lr: float) -> None:
        super().__init__(matrices, lr=lr)
        self._stacks: list[Stack] = []

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._stacks = []  # the momenta that were loaded lie apart

    @torch.no_grad()
    def step_unless(self, skipped: Tensor) -> None:
        """A step, or none where `skipped`, a number on the device, is 1.0. Never waits for the device."""
        (group,) = self.param_groups
        self._stacks = self._stacks or self._stacked(group["params"])
        keep = 1.0 - skipped
        for stack in self._stacks:
            gradients = torch.stack([p.grad for p in stack.matrices if p.grad is not None])
            if skipped.device.type != "cpu" or skipped:
                # A gradient that is not finite would pass through a product with zero.
                gradients = torch.where(skipped > 0, 0.0, gradients)
            stack.momenta.lerp_(gradients, (1.0 - group["momentum"]) * keep)
            update = orthogonalised(gradients.lerp_(stack.momenta, group["momentum"]))
            rows, columns = gradients.shape[1:]
            rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
            if group["weight_decay"]:
                torch._foreach_mul_(stack.matrices, 1.0 - group["lr"] * group["weight_decay"] * keep)
            torch._foreach_add_(stack.matrices, update.mul_(-rate * keep).unbind(0))

    def _stacked(self, matrices: list[Tensor]) -> list[Stack]:
        """By shape; the momenta of `state` become views of the stacked ones."""
        shapes: dict[torch.Size, list[Tensor]] = {}
        for p in matrices:
            shapes.setdefault(p.shape, []).append(p)
        stacks = []
        for equal in shapes.values():
            momenta = torch.stack([self.state[p].get("momentum_buffer", torch.zeros_like(p)) for p in equal])
            for p, momentum in zip(equal, momenta, strict=True):
                self.state[p]["momentum_buffer"] = momentum
            stacks.append(Stack(equal, momenta))
        return stacks


def orthogonalised(matrices: Tensor, epsilon: float = 1e-7) -> Tensor:
    """(n, r, c) -> (n, r, c) in float32: the singular values of each become about 1 (0.7 to 1.2), its vectors stay.

    Newton-Schulz with Jordan's quintic polynomial, in bfloat16 as there; in float32 on a processor without its units.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(torch.bfloat16 if has_bfloat16_units(matrices.device) else torch.float32)
    if tall:
        x = x.mT
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp(min=epsilon)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).float()
