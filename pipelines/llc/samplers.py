"""Samplers of a posterior: SGLD, HMC, MALA. All chains move at once. Knows nothing of draws to keep."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from pipelines.llc.posterior import Posterior
from pipelines.llc.settings import HmcSettings, MalaSettings, SamplerSettings, SgldSettings
from pipelines.llc.step_size import DualAveraging, Smoothed, first_steps

JITTER = 0.2  # of a trajectory's step: one of a fixed length may return to its start (Neal 2011, section 3.2)
POWER = 20  # products with the Hessian before SGLD's first step
MEMORY = 50  # of the measurements that choose SGLD's step


class Sampler(ABC):
    """Chains, a row each, and their step. A chain that is not finite stays so, and does not affect the others."""

    w: Tensor  # (C, d)

    @abstractmethod
    def draw(self, *, adapting: bool) -> Tensor:  # -> (C,)
        """Move every chain to its next draw, and return L there."""

    @abstractmethod
    def end_warmup(self) -> None:
        """End the warm-up: keep the step that it found."""

    def halfway(self) -> None:  # noqa: B027 - a hook that not every sampler needs
        """Called after half of the warm-up."""

    @property
    @abstractmethod
    def step_size(self) -> float: ...

    @property
    def acceptance(self) -> float:
        """Mean probability of accepting a move since `end_warmup`; NaN where every move is accepted."""
        return math.nan


class Sgld(Sampler):
    """w <- w - e/2 g(w) + sqrt(e) N(0, I), g a mini-batch's estimate of grad U (Welling and Teh 2011, equation 4).

    It has no correction. Where U has curvature h and g the variance s^2, the chain's variance is not 1 / h but
    (1 + e s^2 / 4) / (h (1 - e h / 4)), the fixed point of var <- (1 - e h / 2)^2 var + e + e^2 s^2 / 4. The warm-up
    measures h and s^2 in the stiffest direction and chooses e = 4 bias / (h + s^2), so that the error is `bias`
    there, and less elsewhere.
    """

    def __init__(self, posterior: Posterior, w: Tensor, settings: SgldSettings, random: torch.Generator) -> None:
        self.w, self._posterior, self._settings, self._random = w, posterior, settings, random
        self._step = settings.step_size or 0.0
        self._stiffness = Smoothed(MEMORY)
        self._v = _unit(torch.randn(w.shape, generator=random, dtype=w.dtype, device=w.device))
        if settings.step_size is None:
            for _ in range(POWER):
                _, product = posterior.curvatures(w, self._v, self._batch())
                self._v = _unit(product)

    def draw(self, *, adapting: bool) -> Tensor:
        if adapting and self._settings.step_size is None:
            self._adapt()
        for _ in range(self._settings.steps_per_draw):
            slope, _ = self._posterior.gradients(self.w, self._batch())
            noise = torch.randn(self.w.shape, generator=self._random, dtype=self.w.dtype, device=self.w.device)
            self.w = self.w - self._step / 2 * slope + math.sqrt(self._step) * noise
        return self._posterior.losses(self.w)

    def end_warmup(self) -> None:
        if self._settings.step_size is None and self._stiffness.value > 0:
            self._step = 4 * self._settings.bias / self._stiffness.value

    @property
    def step_size(self) -> float:
        return self._step

    def _adapt(self) -> None:
        """One product with the Hessian of a mini-batch turns v towards the stiffest direction, as power iteration does.

        v'Hv estimates h without bias, since v does not come from this mini-batch. Two mini-batches estimate s^2.
        """
        one, product = self._posterior.curvatures(self.w, self._v, self._batch())
        other, _ = self._posterior.gradients(self.w, self._batch())
        stiffness = (self._v * product).sum(1) + ((one - other) * self._v).sum(1).square() / 2  # (C,)
        alive = stiffness.isfinite()
        if alive.any():
            now = max(stiffness[alive].mean().item(), self._posterior.gamma)
            # A chain that has just reached a steep place must not wait for the mean to follow.
            self._step = 4 * self._settings.bias / max(now, self._stiffness.update(now))
        self._v = torch.where(product.isfinite().all(1, keepdim=True), _unit(product), self._v)

    def _batch(self) -> tuple[Tensor, ...]:
        return self._posterior.batch(len(self.w), self._settings.batch_size, self._random)


class Trajectories(Sampler):
    """Hamiltonian Monte Carlo with unit masses (Neal 2011, section 3): leapfrog steps, then Metropolis.

    In the first half of the warm-up each chain has a step of its own, since one that starts in a steep place needs
    shorter ones than the others to leave it; then all have the same, adapted to their mean acceptance.

    One leapfrog step of length e is MALA's proposal with the step e^2, and is accepted alike (Neal 2011, section 5.2).
    """

    def __init__(
        self, posterior: Posterior, w: Tensor, random: torch.Generator, *, leapfrogs: int, moves: int, jitter: float,
        target: float, step: float | None,
    ) -> None:  # fmt: skip
        self.w, self._posterior, self._random = w, posterior, random
        self._leapfrogs, self._moves, self._jitter = leapfrogs, moves, jitter
        self._slope, self._loss = posterior.gradients(w)
        self._fixed = step is not None
        self._accepted, self._proposed = 0.0, 0
        first = torch.full((len(w), 1), step or 1 / math.sqrt(posterior.gamma), dtype=w.dtype, device=w.device)
        self._step = first if self._fixed else first_steps(self._trial_acceptance, first)  # (C, 1)
        self._target, self._common_step = target, False
        self._adaptation = DualAveraging(self._step, target)

    def draw(self, *, adapting: bool) -> Tensor:
        for _ in range(self._moves):
            acceptance = self._move(self._step)
            self._accepted, self._proposed = self._accepted + acceptance.mean().item(), self._proposed + 1
            if adapting and not self._fixed:
                self._adaptation.update(acceptance.mean().expand_as(acceptance) if self._common_step else acceptance)
                self._step = self._adaptation.step
        return self._loss

    def halfway(self) -> None:
        common = self._adaptation.average.median().expand_as(self._step)
        self._common_step, self._adaptation = True, DualAveraging(common, self._target)

    def end_warmup(self) -> None:
        if not self._fixed:
            self._step = self._adaptation.average
        self._accepted, self._proposed = 0.0, 0

    @property
    def step_size(self) -> float:
        return self._step.median().item()

    @property
    def acceptance(self) -> float:
        return self._accepted / self._proposed if self._proposed else math.nan

    def _move(self, step: Tensor) -> Tensor:  # (C, 1) -> (C, 1)
        """One trajectory of each chain, accepted or not; the probabilities of acceptance."""
        w, slope, loss, probability = self.propose(step)
        accepted = torch.rand(len(w), generator=self._random, dtype=w.dtype, device=w.device) < probability
        self.w = torch.where(accepted[:, None], w, self.w)
        self._slope = torch.where(accepted[:, None], slope, self._slope)
        self._loss = torch.where(accepted, loss, self._loss)
        return probability[:, None]

    def propose(self, step: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Where a trajectory ends: point, gradient and loss, and min(1, exp(H - H')), 0 where H' is not finite."""
        draw = {"generator": self._random, "dtype": self.w.dtype, "device": self.w.device}
        momentum = torch.randn(self.w.shape, **draw)
        # One per chain, drawn again for each trajectory and constant along it, so that the trajectory is reversible.
        steps = step * (1 + self._jitter * (2 * torch.rand(len(self.w), 1, **draw) - 1))  # (C, 1)
        before = self._posterior.energies(self.w, self._loss) + momentum.square().sum(1) / 2
        w, slope, loss = self.w, self._slope, self._loss
        for _ in range(self._leapfrogs):
            momentum = momentum - steps / 2 * slope
            w = w + steps * momentum
            slope, loss = self._posterior.gradients(w)
            momentum = momentum - steps / 2 * slope
        after = self._posterior.energies(w, loss) + momentum.square().sum(1) / 2
        probability = (before - after).clamp(max=0).exp()
        return w, slope, loss, torch.where(after.isfinite() & slope.isfinite().all(1), probability, 0.0)

    def _trial_acceptance(self, step: Tensor) -> Tensor:  # (C, 1) -> (C, 1)
        """The probabilities of accepting trajectories that are not accepted."""
        return self.propose(step)[3][:, None]


class Hmc(Trajectories):
    def __init__(self, posterior: Posterior, w: Tensor, settings: HmcSettings, random: torch.Generator) -> None:
        super().__init__(
            posterior, w, random, leapfrogs=settings.leapfrog_steps, moves=1, jitter=JITTER,
            target=settings.acceptance, step=settings.step_size,
        )  # fmt: skip


class Mala(Trajectories):
    """w' = w - e/2 grad U(w) + sqrt(e) N(0, I), then Metropolis (Roberts and Tweedie 1996). Its step_size is e."""

    def __init__(self, posterior: Posterior, w: Tensor, settings: MalaSettings, random: torch.Generator) -> None:
        super().__init__(
            posterior, w, random, leapfrogs=1, moves=settings.steps_per_draw, jitter=0.0,
            target=settings.acceptance, step=settings.step_size and math.sqrt(settings.step_size),
        )  # fmt: skip

    @property
    def step_size(self) -> float:
        return super().step_size ** 2


def start(posterior: Posterior, settings: SamplerSettings, random: torch.Generator) -> Tensor:  # -> (C, d)
    """The start of the chains: drawn from the localising Gaussian N(w0, I / gamma), times `spread`.

    Where the loss curves upwards the posterior is narrower than that in every direction, so the chains start further
    apart than they will be: only then does R-hat detect that they have not converged (Gelman and Rubin 1992).
    """
    w0 = posterior.target.w0
    noise = torch.randn(settings.chains, len(w0), generator=random, dtype=w0.dtype, device=w0.device)
    return w0 + settings.spread / math.sqrt(posterior.gamma) * noise


def build(name: str, posterior: Posterior, settings: SamplerSettings, random: torch.Generator) -> Sampler:
    w = start(posterior, settings, random)
    match name:
        case "sgld":
            return Sgld(posterior, w, settings.sgld, random)
        case "hmc":
            return Hmc(posterior, w, settings.hmc, random)
        case _:
            return Mala(posterior, w, settings.mala, random)


def _unit(v: Tensor) -> Tensor:  # (C, d) -> (C, d)
    """Rows of length 1; a row of zeros stays one."""
    return v / v.norm(dim=1, keepdim=True).clamp(min=1e-300)
