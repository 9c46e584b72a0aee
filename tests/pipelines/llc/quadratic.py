"""What the tests of the samplers share: short settings, losses whose coefficient is known, how close is close."""

import torch

from pipelines.llc import chains, samplers
from pipelines.llc.diagnostics import Summary, summarise
from pipelines.llc.posterior import Posterior
from pipelines.llc.settings import HmcSettings, MalaSettings, SamplerSettings, SgldSettings
from pipelines.llc.target import Target, random_stream

Z = 4.0
N = 100
CURVATURES = torch.tensor([0.0, 0.1, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)


def quick(chains: int = 32, **parts) -> SamplerSettings:
    """Short runs that suffice here: HMC and MALA adapt, SGLD's bias is 2 percent."""
    given = {
        "sgld": SgldSettings(warmup=40, draws=200, steps_per_draw=20, bias=0.02),
        "hmc": HmcSettings(warmup=100, draws=150, leapfrog_steps=6),
        "mala": MalaSettings(warmup=40, draws=150, steps_per_draw=8),
        **parts,
    }
    return SamplerSettings(chains=chains, **given)


def estimate(name: str, target: Target, strength: float, gamma: float, settings: SamplerSettings) -> Summary:
    posterior = Posterior(target, strength, gamma)
    sampler = samplers.build(name, posterior, settings, random_stream(7, name))
    part = getattr(settings, name)
    trace = chains.run(sampler, part.warmup, part.draws)
    return summarise(name, trace, strength, posterior.losses(target.w0[None]).item())


def potential(loss, dimensions: int) -> Target:
    """A loss that is given by a formula, around 0."""
    return Target(loss, torch.zeros(dimensions, dtype=torch.float64), N)


QUADRATIC = potential(lambda w: (CURVATURES * w.square()).sum(-1) / 2, len(CURVATURES))


def exact(curvatures: torch.Tensor, strength: float, gamma: float) -> float:
    """n beta (E L - L0) of a quadratic loss: each term is a Gaussian of variance 1 / (t a + gamma)."""
    stretched = strength * curvatures
    return (stretched / (stretched + gamma) / 2).sum().item()


def agrees(found: Summary, expected: float) -> None:
    assert found.mcse < 0.05 * abs(expected) + 0.02, found  # else the next line could not fail
    assert abs(found.llc_mean - expected) < Z * found.mcse, (found, expected)
