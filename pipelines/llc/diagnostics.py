"""From the losses that chains met to the local learning coefficient, and to what speaks against it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats

from pipelines.llc.chains import Trace

R_HAT = 1.01  # above it chains have not met (Vehtari et al. 2021, section 4)
ENOUGH = 100  # effective draws for each chain, below which ESS and R-hat themselves are unsure (the same)


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of metrics_summary.csv. NaN: there is no such number."""

    sampler: str
    llc_mean: float  # n beta (mean of L - L(w0)), over all chains and draws
    llc_std: float  # of the chains' own means: how far estimates of one chain each lie apart
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
    flags: tuple[str, ...]  # why not to trust the row, in words


def summarise(sampler: str, trace: Trace, strength: float, loss_at_w0: float) -> Summary:
    """`strength` is n beta."""
    coefficients = strength * (trace.losses - loss_at_w0)  # (C, N)
    finite = np.isfinite(coefficients).all(axis=1)
    stuck = finite & (np.ptp(trace.losses, axis=1) == 0)
    below = int((trace.losses < loss_at_w0).sum())
    moving = bool(finite.all()) and not stuck.any()
    ess = effective(coefficients) if moving else math.nan
    r_hat = shrinkage(coefficients) if moving else math.nan
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
    """Independent draws whose mean would be as sure (Vehtari et al. 2021, equation 10, of the draws as they are).

    NaN where that cannot be said, one chain that stands still included: a constant has no autocorrelation.
    """
    if draws.shape[1] < 4 or not np.isfinite(draws).all() or (np.ptp(draws, axis=1) == 0).any():
        return math.nan
    return float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))


def shrinkage(draws: np.ndarray) -> float:  # (C, N)
    """R-hat of ranks, of halves of chains, and of how far they spread (Vehtari et al. 2021, section 4)."""
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
    said = []
    if below:
        said.append(f"{below} of {coefficients.size} draws have a loss below that of w0: it is no minimum")
    if draws < 4:
        said.append("fewer than 4 draws of each chain: too few for ESS and R-hat")
    elif r_hat > R_HAT:
        said.append(f"R-hat {r_hat:.3f} is above {R_HAT}: the chains do not agree yet")
    if ess < ENOUGH * chains:
        said.append(f"ESS {ess:.0f} is below {ENOUGH} for each chain")
    return said
