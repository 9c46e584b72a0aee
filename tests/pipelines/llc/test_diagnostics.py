"""The diagnostics of chains: the ESS of a process whose ESS is known, and each case that is flagged."""

import math

import numpy as np
import pytest
import torch

from pipelines.llc import chains, samplers
from pipelines.llc.chains import Trace
from pipelines.llc.diagnostics import effective, summarise
from pipelines.llc.posterior import Posterior
from pipelines.llc.settings import HmcSettings, SgldSettings
from pipelines.llc.target import random_stream
from tests.pipelines.llc.quadratic import QUADRATIC, estimate, potential, quick


def autoregressive(correlation: float, chains: int, draws: int) -> np.ndarray:
    random = np.random.default_rng(11)
    x = np.empty((chains, draws))
    x[:, 0] = random.normal(size=chains)
    for i in range(1, draws):
        x[:, i] = correlation * x[:, i - 1] + math.sqrt(1 - correlation**2) * random.normal(size=chains)
    return x


@pytest.mark.parametrize("correlation", [-0.3, 0.0, 0.5, 0.9])
def test_the_ess_of_an_autoregressive_process(correlation):
    draws = autoregressive(correlation, 4, 20_000)
    assert effective(draws) == pytest.approx(draws.size * (1 - correlation) / (1 + correlation), rel=0.1)


def traced(losses: np.ndarray) -> Trace:
    return Trace(losses[:, :0], losses, 0.1, 0.5, 2.0, 1.0)


def test_mean_spread_and_error_are_those_of_the_draws():
    losses = 3 + autoregressive(0.0, 6, 5000)
    found = summarise("hmc", traced(losses), 10.0, 2.0)
    means = 10 * (losses.mean(1) - 2)
    assert found.llc_mean == pytest.approx(means.mean()) and found.llc_std == pytest.approx(means.std(ddof=1))
    assert found.mcse == pytest.approx(10 / math.sqrt(30_000), rel=0.1) and found.draws == 30_000
    assert found.r_hat == pytest.approx(1, abs=0.005)
    assert found.below_w0 == (losses < 2).sum() > 0
    assert found.flags == (f"{found.below_w0} of 30000 draws have a loss below that of w0: it is not a minimum",)


def test_a_chain_that_does_not_move_has_no_ess_and_is_named():
    losses = 3 + autoregressive(0.0, 4, 100)
    losses[2] = losses[2, 0]
    found = summarise("mala", traced(losses), 10.0, 0.0)
    assert math.isnan(found.ess) and math.isnan(found.r_hat) and math.isnan(found.mcse)
    assert found.stuck_chains == 1 and found.flags == ("chain 2 does not move",)


def test_chains_that_do_not_move_have_no_ess_either():
    settings = quick(hmc=HmcSettings(warmup=5, draws=50, step_size=1e6))
    found = estimate("hmc", QUADRATIC, 20.0, 5.0, settings)
    assert found.acceptance == 0 and math.isnan(found.ess) and found.stuck_chains == 32


def test_a_chain_that_is_not_finite_is_named_and_the_mean_with_it_is_none():
    losses = 3 + autoregressive(0.0, 4, 100)
    losses[1, 16:] = np.inf
    losses[1, 20:] = np.nan
    found = summarise("sgld", traced(losses), 10.0, 0.0)
    assert not math.isfinite(found.llc_mean) and math.isnan(found.ess) and found.nonfinite_chains == 1
    assert found.flags == ("chain 1 is not finite from draw 17 on",)


def test_a_chain_of_sgld_that_diverges_leaves_the_others_as_they_were():
    step = 0.005
    target = potential(lambda w: w.pow(4).sum(-1), 1)
    settings = SgldSettings(step_size=step, steps_per_draw=1)
    far = torch.tensor([[0.1], [50.0], [-0.2]], dtype=torch.float64)
    near = far.clone()
    near[1] = 0.0
    both = [samplers.Sgld(Posterior(target, 20.0, 5.0), w, settings, random_stream(0, "same")) for w in (far, near)]
    one, other = (chains.run(sampler, 1, 40).losses for sampler in both)
    assert not np.isfinite(one[1, -1])
    assert np.isfinite(one[[0, 2]]).all() and np.allclose(one[[0, 2]], other[[0, 2]], rtol=1e-9)


def test_too_few_draws_are_reported():
    found = summarise("hmc", traced(3 + autoregressive(0.0, 2, 3)), 10.0, 0.0)
    assert math.isnan(found.ess) and found.flags == ("fewer than 4 draws of each chain: too few for ESS and R-hat",)


def test_one_chain_alone_has_no_spread():
    found = summarise("hmc", traced(3 + autoregressive(0.0, 1, 400)), 10.0, 0.0)
    assert math.isnan(found.llc_std) and math.isnan(found.r_hat) and found.ess > 200
