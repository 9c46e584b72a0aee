"""When a job is tried again."""

from __future__ import annotations

from runner.core.options import RunOptions

LONGEST_DELAY = 600.0  # seconds


def retry_delay(options: RunOptions, tries: int) -> float:
    """Seconds to wait before another try, after `tries` tries: doubled each time, up to LONGEST_DELAY."""
    return float(min(options.retry_delay * 2 ** (tries - 1), LONGEST_DELAY))
