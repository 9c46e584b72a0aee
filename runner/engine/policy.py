"""When a job is tried again. Pure."""

from __future__ import annotations

from runner.core.options import RunOptions
from runner.core.state import INTERRUPTED

LONGEST_DELAY = 600.0  # seconds


def retry_delay(options: RunOptions, tries: int) -> float:
    """Seconds to wait before another try, after `tries` tries: doubled each time, up to LONGEST_DELAY."""
    return float(min(options.retry_delay * 2 ** (tries - 1), LONGEST_DELAY))


def delay_after(options: RunOptions, status: str, tries: int, *, adopted: bool) -> float | None:
    """Seconds until a job that ended so is started again; None if it is not.

    An adopted job that was interrupted lost its engine, which is no failure: it starts again at once.
    """
    if adopted and status == INTERRUPTED:
        return 0.0
    if status in options.retry_statuses and tries <= options.retries:
        return retry_delay(options, tries)
    return None
