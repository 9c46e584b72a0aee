"""One estimate of the local learning coefficient: data, minimum, samplers, files, in this order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from model.regressors import Regressor
from pipelines.llc import artifacts, chains, samplers
from pipelines.llc import settings as llc_settings
from pipelines.llc.diagnostics import Summary, summarise
from pipelines.llc.minimum import Minimum, descend
from pipelines.llc.posterior import Posterior
from pipelines.llc.settings import LlcSettings
from pipelines.llc.target import Loss, Target, random_stream, regression
from pipelines.shared import devices
from pipelines.shared.errors import Diverged, InputError
from pipelines.shared.metrics import Tracker, print_line

# Multiplications of a gradient below which a second thread makes it slower; on a machine with other jobs, threads that
# wait for each other at every small operation make it fifty times slower.
MIN_WORK_FOR_THREADS = 10**7


class Stopped(Exception):
    """A stop request came. The files of the samplers that had finished are kept."""


@dataclass(slots=True)
class Progress:
    """Draws of all samplers: done, and requested."""

    total: int
    done: int = 0


def total_draws(settings: LlcSettings) -> int:
    parts = [getattr(settings.sampler, name) for name in settings.sampler.names]
    return sum(part.warmup + part.draws for part in parts)


def estimate(
    settings: LlcSettings, out_dir: Path, tracker: Tracker, progress: Progress, stop: Callable[[], bool]
) -> list[Summary]:
    """A row for each sampler; its files are written as soon as it ends.

    Raises Stopped, and Diverged where a chain was not finite: only after all samplers.
    """
    with threads_for(settings):
        return _estimate(settings, out_dir, tracker, progress, stop)


def _estimate(
    settings: LlcSettings, out_dir: Path, tracker: Tracker, progress: Progress, stop: Callable[[], bool]
) -> list[Summary]:
    device, draw = choose_device(settings.device), load_plotting() if settings.plots else None
    print_line(f"device: {devices.describe(device)}, writing to {out_dir}")
    artifacts.clear(out_dir)
    artifacts.write_config(out_dir, settings)
    initial, student = regression(settings, device)
    target, minimum = find_minimum(settings, replace(initial, loss=stoppable(initial.loss, stop)), student, out_dir)
    posterior = Posterior(target, settings.data.n_data * llc_settings.beta(settings), settings.sampler.gamma)
    rows: list[Summary] = []
    for name in settings.sampler.names:
        trace = run_sampler(name, settings, posterior, SamplerProgress(name, settings, tracker, progress))
        row = summarise(name, trace, posterior.strength, minimum.loss)
        rows.append(row)
        artifacts.write_trace(out_dir, name, trace, posterior.strength, minimum.loss)
        artifacts.write_summary(out_dir, rows)
        report(row, tracker, progress)
        if draw:
            draw(out_dir, trace, row, posterior.strength, minimum.loss)
    if broken := [row.sampler for row in rows if row.nonfinite_chains]:
        raise Diverged(f"chains of {', '.join(broken)} are not finite. Lower step_size, or remove it to adapt it")
    return rows


def load_plotting() -> Callable[..., Path]:
    """The function that plots the chains of a sampler; imported before the work, so that a missing matplotlib shows."""
    try:
        from pipelines.llc import plots
    except ImportError as error:
        raise InputError(f"plots need matplotlib ({error}); pip install matplotlib, or --plots=false") from error
    return plots.draw


@contextmanager
def threads_for(settings: LlcSettings) -> Iterator[None]:
    """One thread where the work is small; the setting of the process is restored afterwards."""
    size = llc_settings.parameter_count(llc_settings.layer_sizes(settings.model, settings.data), settings.model.kind)
    before = torch.get_num_threads()
    if size * settings.data.n_data * settings.sampler.chains < MIN_WORK_FOR_THREADS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_device(requested: str) -> torch.device:
    """As in other pipelines, but never mps, which has no float64."""
    device = devices.choose_device(requested)
    if device.type != "mps":
        return device
    if requested == "mps":
        raise InputError("--device=mps: samplers need float64, which it does not have; use --device=cpu")
    return torch.device("cpu")


def stoppable(loss: Loss, stop: Callable[[], bool]) -> Loss:
    """The same loss; raises Stopped after a stop request: an iteration of L-BFGS or HMC may need hundreds of losses."""

    def stoppable_loss(*points: Tensor) -> Tensor:
        if stop():
            raise Stopped
        return loss(*points)

    return stoppable_loss


def find_minimum(settings: LlcSettings, target: Target, student: Regressor, out_dir: Path) -> tuple[Target, Minimum]:
    sizes = " x ".join(map(str, student.sizes))
    print_line(f"model: {settings.model.kind}, {sizes}, {student.count:,} parameters; {target.n:,} examples")
    began = last = time.perf_counter()

    def on_progress(stage: str, step: int, loss: float) -> None:
        nonlocal last
        if time.perf_counter() - last >= settings.log_seconds:
            last = time.perf_counter()
            print_line(f"{stage}: {step} steps, training loss {loss:.6f}")

    target, minimum = descend(target, settings.model, on_progress)
    seconds = time.perf_counter() - began
    if not target.w0.isfinite().all():
        raise Diverged("w0 is not finite. Lower model.adam_lr, or raise model.decay")
    warning = "" if minimum.reached else f"; not below {settings.model.gradient:g} everywhere: raise model.lbfgs_steps"
    print_line(f"minimum: loss {minimum.loss:.6f}, gradient norm {minimum.gradient_norm:.1e}, {seconds:.1f} s{warning}")
    beta = llc_settings.beta(settings)
    record = {**asdict(minimum), "parameters": student.count, "sizes": student.sizes, "n": target.n, "beta": beta,
              "n_beta": target.n * beta, "gamma": settings.sampler.gamma, "seconds": seconds}  # fmt: skip
    artifacts.write_minimum(out_dir, record, target.w0.cpu().numpy())
    return target, minimum


def run_sampler(name: str, settings: LlcSettings, posterior: Posterior, on_progress: SamplerProgress) -> chains.Trace:
    part = getattr(settings.sampler, name)
    random = random_stream(settings.seed, name, posterior.target.w0.device)
    sampler = samplers.build(name, posterior, settings.sampler, random)
    return chains.run(sampler, part.warmup, part.draws, on_draw=lambda done, loss: on_progress(done, loss, sampler))


class SamplerProgress:
    """Print and log the progress of a sampler, every few seconds."""

    def __init__(self, name: str, settings: LlcSettings, tracker: Tracker, progress: Progress) -> None:
        part = getattr(settings.sampler, name)
        self._name, self._warmup, self._total = name, part.warmup, part.warmup + part.draws
        self._seconds, self._tracker, self._progress = settings.log_seconds, tracker, progress
        self._last = time.perf_counter()

    def __call__(self, done: int, loss: float, sampler: samplers.Sampler) -> None:
        self._progress.done += 1
        now = time.perf_counter()
        if now - self._last < self._seconds and done not in (self._warmup, self._total):
            return
        self._last = now
        stage = "warm-up" if done <= self._warmup else "sampling"
        print_line(f"iter {self._progress.done}: {self._name}, {stage}, {done} of {self._total} draws, loss {loss:.6f},"
            f" step {sampler.step_size:.2e}")  # fmt: skip
        row = {"sampler": self._name, "loss": loss, "step_size": sampler.step_size, "acceptance": sampler.acceptance}
        self._tracker.log(self._progress.done, row)


def report(row: Summary, tracker: Tracker, progress: Progress) -> None:
    print_line(f"{row.sampler}: llc {row.llc_mean:.4g} +- {row.mcse:.2g} (mcse), ESS {row.ess:.0f} of {row.draws},"
        f" R-hat {row.r_hat:.3f}, {row.seconds:.1f} s")  # fmt: skip
    for flag in row.flags:
        print_line(f"  {row.sampler}: {flag}")
    tracker.log(progress.done, {f"{row.sampler}/{key}": value for key, value in asdict(row).items()
                                if isinstance(value, int | float)})  # fmt: skip
