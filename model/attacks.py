"""Adversarial examples within a ball about each row: FGSM and PGD, for the norms linf and l2. No files.

Both increase the cross-entropy L = log(1 + exp(m)), where m = logsumexp of the other logits - the true logit. The
gradient of L is that of m times sigmoid(m), a positive number, and both use only its direction: its sign, or itself
over its length. So they increase m instead, in float64 above the logits where the device has it: the direction is the
same, and it does not vanish for a row that the network classifies with a cross-entropy of 0 in floating point. An
attack with a target decreases m of the target class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Ball:
    """How far a row may be moved, and the values that are possible at all.

    With a `scale` each feature is measured in a unit of its own: the ball of linf is a box with sides 2 eps scale, that
    of l2 an ellipsoid. A feature whose scale is 0 stays as it is.
    """

    norm: str  # linf or l2
    eps: float
    low: Tensor  # broadcast over rows; -inf where there is no limit
    high: Tensor
    scale: Tensor | None = None  # broadcast over rows

    def contains(self, x: Tensor, delta: Tensor) -> Tensor:  # (B, ...) twice -> (B, ...)
        """x + delta, projected onto the ball about x and then onto the valid range, after which it is in both.

        For linf that is the nearest point of both. Where x itself is outside of the range, it may stay there, but not
        move further out.
        """
        if self.scale is not None:
            delta = torch.where(self.scale > 0, delta / self.scale.clamp(min=1e-30), 0)
        if self.norm == "linf":
            delta = delta.clamp(-self.eps, self.eps)
        else:
            delta = delta * (self.eps / rows(lengths(delta), delta).clamp(min=1e-30)).clamp(max=1.0)
        if self.scale is not None:
            delta = delta * self.scale
        return (x + delta).maximum(self.low.minimum(x)).minimum(self.high.maximum(x))

    def direction(self, gradient: Tensor) -> Tensor:  # (B, ...) -> (B, ...)
        """The step of length 1, as the ball measures it, with the steepest ascent; 0 where the gradient is 0."""
        if self.scale is not None:
            gradient = gradient * self.scale
        step = gradient.sign() if self.norm == "linf" else gradient / rows(lengths(gradient), gradient).clamp(min=1e-30)
        return step if self.scale is None else step * self.scale

    def random_step(self, x: Tensor, generator: torch.Generator) -> Tensor:  # (B, ...) -> (B, ...)
        """A step that is uniform in the ball. Drawn on the CPU, so that a GPU starts where a CPU does."""
        if self.norm == "linf":
            drawn = 2 * torch.rand(x.shape, generator=generator) - 1
        else:  # a Gaussian's direction is uniform; a fraction u of the ball is within the radius u^(1/d)
            drawn = torch.randn(x.shape, generator=generator)
            radius = torch.rand(len(x), generator=generator) ** (1 / max(1, x[0].numel()))
            drawn = drawn * rows(radius / lengths(drawn), drawn)
        step = (self.eps * drawn).to(x)
        return step if self.scale is None else step * self.scale


def fgsm(
    model: nn.Module, x: Tensor, y: Tensor, ball: Ball, *, targeted: bool = False
) -> Tensor:  # (B, ...), (B,) -> (B, ...)
    """One step of length eps along the sign of the gradient (Goodfellow et al. 2015, section 4); for l2 along it.

    `y` are the true classes or, if it is `targeted`, those that it aims at.
    """
    with eval_mode(model):
        return ball.contains(x, ball.eps * ball.direction(ascent(model, x, y, targeted=targeted)))


def pgd(
    model: nn.Module,
    x: Tensor,  # (B, ...)
    y: Tensor,  # (B,)
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    generator: torch.Generator | None,  # of the random start; None: starts at x
    targeted: bool = False,
) -> Tensor:  # (B, ...)
    """Steps along the gradient, each followed by a projection onto the ball (Madry et al. 2018, section 2.1).

    `y` are the true classes or, if it is `targeted`, those that it aims at.
    """
    with eval_mode(model):
        start = torch.zeros_like(x) if generator is None else ball.random_step(x, generator)
        moved = ball.contains(x, start)
        for _ in range(steps):
            moved = ball.contains(x, moved - x + step_size * ball.direction(ascent(model, moved, y, targeted=targeted)))
        return moved


def ascent(
    model: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, *, targeted: bool = False
) -> Tensor:  # (B, ...), (B,) -> (B, ...)
    """The gradient of m with respect to x, or of -m towards a target; that of the weights is not computed."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(x)  # (B, C)
        logits = logits.to(torch.float32 if logits.device.type == "mps" else torch.float64)
        true = torch.nn.functional.one_hot(y, logits.shape[1]).bool()
        m = logits.masked_fill(true, -torch.inf).logsumexp(1) - logits[true]
        return torch.autograd.grad(-m.sum() if targeted else m.sum(), x)[0]


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; afterwards the mode of each of its modules is restored."""
    before = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def lengths(x: Tensor) -> Tensor:  # (B, ...) -> (B,)
    return x.flatten(1).norm(dim=1)


def rows(values: Tensor, like: Tensor) -> Tensor:  # (B,), (B, ...) -> (B, 1, ...)
    return values.view(-1, *[1] * (like.dim() - 1))
