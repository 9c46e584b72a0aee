"""From the losses of chains to the local learning coefficient and its diagnostics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats

from pipelines.llc.chains import Trace

R_HAT = 1.01  # above it chains have not converged (Vehtari et al. 2021, section 4)
ENOUGH = 100  # effective draws for each chain, below which ESS and R-hat are unreliable themselves (the same)


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of metrics_summary.csv. NaN: not available."""

    sampler: str
    llc_mean: float  # n beta (mean of L - L(w0)), over all chains and draws
    llc_std: float  # of the means of chains: the spread of estimates from one chain each
    ess: float  # of llc_mean
    r_hat: float
    acceptance: float
    draws: int  # kept, of all chains together
    seconds: float  # warm-up included
    mcse: float  # the Monte Carlo standard error of llc_mean
    step_size: float
    below_w0: int  # draws with L < L(w0)
    stuck_chains: int
    nonfinite_chains: int
    flags: tuple[str, ...]  # warnings about the row


def summarise(sampler: str, trace: Trace, strength: float, loss_at_w0: float) -> Summary:
    """`strength` is n beta."""
    coefficients = strength * (trace.losses - loss_at_w0)  # (C, N)
    finite = np.isfinite(coefficients).all(axis=1)
    stuck = finite & (np.ptp(trace.losses, axis=1) == 0)
    below = int((trace.losses < loss_at_w0).sum())
    moving = bool(finite.all()) and not stuck.any()
    ess = effective(coefficients) if moving else math.nan
    r_hat = split_r_hat(coefficients) if moving else math.nan
    means = coefficients.mean(axis=1)
    return Summary(
        sampler=sampler,
        llc_mean=float(means.mean()),
        llc_std=float(means.std(ddof=1)) if len(means) > 1 and finite.all() else math.nan,
        ess=ess,
        r_hat=r_hat,
        acceptance=trace.acceptance,
        draws=coefficients.size,
        seconds=trace.seconds,
        mcse=float(coefficients.std(ddof=1) / math.sqrt(ess)) if ess > 0 else math.nan,
        step_size=trace.step_size,
        below_w0=below,
        stuck_chains=int(stuck.sum()),
        nonfinite_chains=int((~finite).sum()),
        flags=(*_broken(coefficients, finite), *_still(stuck), *_doubtful(coefficients, below, ess, r_hat)),
    )


def effective(draws: np.ndarray) -> float:  # (C, N)
    """The effective sample size of the mean (Vehtari et al. 2021, equation 10, without rank normalisation).

    NaN where it is not defined, such as for a chain that does not move: a constant has no autocorrelation.
    """
    if draws.shape[1] < 4 or not np.isfinite(draws).all() or (np.ptp(draws, axis=1) == 0).any():
        return math.nan
    return float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))


def split_r_hat(draws: np.ndarray) -> float:  # (C, N)
    """R-hat of ranks, with split chains, and of the spread (Vehtari et al. 2021, section 4)."""
    if draws.shape[1] < 4:
        return math.nan
    return float(array_stats.rhat(draws, chain_axis=0, draw_axis=1, method="rank"))


def _broken(coefficients: np.ndarray, finite: np.ndarray) -> list[str]:
    first = np.isfinite(coefficients).argmin(axis=1) + 1  # of each chain's draws, where there is one
    return [f"chain {chain} is not finite from draw {first[chain]} on" for chain in np.flatnonzero(~finite)]


def _still(stuck: np.ndarray) -> list[str]:
    return [f"chain {chain} does not move" for chain in np.flatnonzero(stuck)]


def _doubtful(coefficients: np.ndarray, below: int, ess: float, r_hat: float) -> list[str]:
    chains, draws = coefficients.shape
    flags = []
    if below:
        flags.append(f"{below} of {coefficients.size} draws have a loss below that of w0: it is not a minimum")
    if draws < 4:
        flags.append("fewer than 4 draws of each chain: too few for ESS and R-hat")
    elif r_hat > R_HAT:
        flags.append(f"R-hat {r_hat:.3f} is above {R_HAT}: the chains do not agree yet")
    if ess < ENOUGH * chains:
        flags.append(f"ESS {ess:.0f} is below {ENOUGH} for each chain")
    return flags
