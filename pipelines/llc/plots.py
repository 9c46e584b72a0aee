"""The figure of a sampler's chains, as a PNG file. Draws without a display."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pipelines.llc.artifacts import PLOT
from pipelines.llc.chains import Trace
from pipelines.llc.diagnostics import Summary
from runner.disk import atomic


def draw(out_dir: Path, trace: Trace, row: Summary, strength: float, loss_at_w0: float) -> Path:
    """Left: every draw of every chain, the warm-up shaded. Right: the running mean of each chain, and of all."""
    warmup, draws = (strength * (part - loss_at_w0) for part in (trace.warmup, trace.losses))
    skipped, kept = warmup.shape[1], draws.shape[1]
    numbers = np.arange(1, kept + 1)
    figure = Figure(figsize=(11, 4), layout="constrained")
    every, running = figure.subplots(1, 2)

    for chain in range(len(draws)):
        colour = f"C{chain % 10}"
        values = np.concatenate([warmup[chain], draws[chain]])
        every.plot(np.arange(1 - skipped, kept + 1), values, lw=0.6, alpha=0.7, color=colour)
        running.plot(numbers, draws[chain].cumsum() / numbers, lw=0.8, alpha=0.6, color=colour)
    every.axvspan(-skipped, 0.5, color="0.9", zorder=0)
    every.axhline(0, color="black", lw=0.8, ls=":")
    # The chains may start far above: the range of the kept draws matters.
    if np.isfinite(draws).all():
        every.set_ylim(min(0.0, draws.min()) - 0.05 * draws.max(), 1.3 * draws.max() or 1)
    every.set(title=f"{row.sampler}: draws (grey: warm-up)", xlabel="draw", ylabel="n beta (L - L(w0))")

    running.plot(numbers, draws.mean(0).cumsum() / numbers, color="black", lw=1.5, label="all chains")
    if row.mcse > 0:
        low, high = row.llc_mean - 2 * row.mcse, row.llc_mean + 2 * row.mcse
        running.axhspan(low, high, color="0.85", zorder=0, label="mean +- 2 mcse")
    running.set(title=f"running mean, ESS {row.ess:.0f}, R-hat {row.r_hat:.3f}", xlabel="draw", ylabel="llc")
    running.legend()

    buffer, path = io.BytesIO(), out_dir / PLOT.format(row.sampler)
    figure.savefig(buffer, format="png", dpi=100)
    atomic.write_bytes(path, buffer.getvalue())
    return path
