"""The report of a batch that ran with --report."""

from __future__ import annotations

from runner.cli.saving import save
from runner.core.job import Plan
from runner.core.text import plain, shown
from runner.disk import layout
from runner.reports.document.gather import gather
from runner.reports.document.page import page


def at_end(plan: Plan) -> str:
    """Write the report into the folder of the batch; returns a line for the user. The batch never fails by it."""
    path = plan.root / layout.REPORT
    try:
        save(path, page(gather(plan)))
    except Exception as error:
        why = plain(f"{type(error).__name__}: {error}", 300)
        return f"Note: the report was not written ({why}); overnight report tries again"
    return f"Report: {shown(path)}"
