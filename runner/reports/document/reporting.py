"""The report on a batch for whoever sends it, from its records alone."""

from __future__ import annotations

from pathlib import Path

from runner.planners import recorded
from runner.reports.document.gather import gather
from runner.reports.document.page import page


def made(root: Path) -> bytes | None:
    """The file; None if it cannot be made: it is an addition to a message that is sent all the same."""
    try:
        return page(gather(recorded.plan(root, contents=False)))
    except Exception:
        return None
