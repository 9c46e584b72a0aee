"""Bring a target's w0 to a minimum: Adam, L-BFGS, Newton, all on the full batch. Knows nothing of sampling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import grad, grad_and_value, jvp, vmap

from pipelines.llc.settings import ModelSettings
from pipelines.llc.target import Target

CHUNK = 50  # L-BFGS iterations between two progress reports
HISTORY = 50  # pairs that L-BFGS stores
NEWTON = 10  # steps at most; close to a minimum a few are enough
LARGEST_HESSIAN = 1000  # parameters: its eigenvalues take a second
COLUMNS = 10**5  # of the Hessian, times examples, at once: some kilobytes each
FLAT = 1e-10  # of the largest eigenvalue: directions below it are those in which a singular minimum extends

OnStep = Callable[[str, int, float], None]  # gets the stage, its iteration and the loss


@dataclass(frozen=True, slots=True)
class Minimum:
    """The distance of w0 from a minimum."""

    loss: float  # L(w0)
    gradient_norm: float  # |grad L(w0)|
    reached: bool  # no entry of the gradient exceeds the setting


def descend(target: Target, settings: ModelSettings, on_step: OnStep) -> tuple[Target, Minimum]:
    """The target at its minimum."""
    w = target.w0.clone().requires_grad_()
    _adam(target, w, settings, on_step)
    _lbfgs(target, w, settings, on_step)
    if len(w) <= LARGEST_HESSIAN:
        _newton(target, w, settings)
    loss, slope = _slope(target, w)
    found = Minimum(loss.item(), slope.norm().item(), bool(slope.abs().max() <= settings.gradient))
    return replace(target, w0=w.detach()), found


def _adam(target: Target, w: Tensor, settings: ModelSettings, on_step: OnStep) -> None:
    """The rate falls to a hundredth along half a cosine, so that L-BFGS starts where the noise of steps is small."""
    if not settings.adam_steps:
        return
    optimizer = torch.optim.Adam([w], lr=settings.adam_lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.adam_steps, settings.adam_lr / 100)
    for step in range(1, settings.adam_steps + 1):
        optimizer.zero_grad()
        loss = target.loss(w, *target.data)
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step("adam", step, loss.item())


def _lbfgs(target: Target, w: Tensor, settings: ModelSettings, on_step: OnStep) -> None:
    """In chunks that keep their history: torch.optim.LBFGS remembers it between calls of step."""
    if not settings.lbfgs_steps:
        return
    optimizer = torch.optim.LBFGS(
        [w], max_iter=min(CHUNK, settings.lbfgs_steps), max_eval=4 * CHUNK, history_size=HISTORY,
        tolerance_grad=settings.gradient, tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = target.loss(w, *target.data)
        loss.backward()
        return loss

    done, before = 0, float("inf")
    while done < settings.lbfgs_steps:
        optimizer.step(closure)
        loss = closure().item()
        done = optimizer.state[w]["n_iter"]
        on_step("l-bfgs", done, loss)
        if w.grad is None or w.grad.abs().max() <= settings.gradient or loss == before:
            return
        before = loss


def _newton(target: Target, w: Tensor, settings: ModelSettings) -> None:
    """Newton steps in directions with curvature, as long as each makes the gradient smaller.

    L-BFGS compares losses, and ends where rounding exceeds their differences: at a gradient of about 1e-7.
    """
    loss, slope = _slope(target, w)
    for _ in range(NEWTON):
        if slope.abs().max() <= settings.gradient / 100:
            return
        curvatures, axes = torch.linalg.eigh(hessian(target, w.detach()))
        if curvatures[-1] <= 0 or curvatures[0] < -1e-6 * curvatures[-1]:
            return  # not near a minimum
        steep = curvatures > FLAT * curvatures[-1]
        step = axes[:, steep] @ ((axes[:, steep].T @ slope) / curvatures[steep])
        there = w.detach() - step
        found, flatter = _slope(target, there)
        if not flatter.norm() < slope.norm() or found > loss + 1e-12 * loss.abs():
            return
        with torch.no_grad():
            w.copy_(there)
        loss, slope = found, flatter


def hessian(target: Target, w: Tensor) -> Tensor:  # (d,) -> (d, d)
    """Of L at w, a bounded number of columns at a time: each needs the activations of all examples."""

    def column(v: Tensor) -> Tensor:
        return jvp(lambda w: grad(target.loss)(w, *target.data), (w,), (v,))[1]

    at_once = max(1, COLUMNS // target.n)
    return vmap(column, chunk_size=at_once)(torch.eye(len(w), dtype=w.dtype, device=w.device))


def _slope(target: Target, w: Tensor) -> tuple[Tensor, Tensor]:
    """L(w) and its gradient."""
    slope, loss = grad_and_value(target.loss)(w.detach(), *target.data)
    return loss, slope
