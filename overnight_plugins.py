"""What this checkout adds to the runner: its training script, and a view. The command line imports this file.

Another project does the same by entry points; docs/plugins.md shows how.
"""

from __future__ import annotations

from runner.reports.registry import VIEWS, add_view


def register() -> None:
    """Add the entries; what they name is imported when it is used."""
    VIEWS.register("success_counts", "pipelines.robustness.success_counts:SuccessCounts")
    add_view("tree", "success_counts")
