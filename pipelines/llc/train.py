"""The entry point of the pipeline: settings -> exit code."""

from __future__ import annotations

from pathlib import Path

from pipelines.llc.estimation import Progress, Stopped, estimate, total_draws
from pipelines.llc.settings import LlcSettings
from pipelines.shared.errors import record_failure
from pipelines.shared.interrupts import StopRequest
from pipelines.shared.metrics import METRICS, Tracker, print_line


def run(settings: LlcSettings) -> int:
    """Estimate, and return the exit code: 0 done, 130 or 143 after a signal, with the finished results written.

    Leaves error.json in out_dir when an exception passes through.
    """
    out_dir, progress = Path(settings.out_dir), Progress(total_draws(settings))
    with record_failure(out_dir, lambda: progress.done), StopRequest() as stop:
        (out_dir / METRICS).unlink(missing_ok=True)  # nothing is resumed: each estimate starts from scratch
        with Tracker(settings, out_dir, progress.total) as tracker:
            try:
                rows = estimate(settings, out_dir, tracker, progress, stop)
            except Stopped:
                print_line(f"stopped by a signal after {progress.done} draws; finished samplers are in {out_dir}")
                return stop.exit_code
    print_line(f"done: {', '.join(f'{row.sampler} {row.llc_mean:.4g}' for row in rows)}; files in {out_dir}")
    return 0
