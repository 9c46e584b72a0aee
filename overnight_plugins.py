"""What this checkout adds to the runner: its training script, a setting, and a view. Imported by the command line.

Another project does the same by entry points; docs/plugins.md shows how.
"""

from __future__ import annotations

from runner.configs.registry import SCRIPTS, SETTINGS
from runner.reports.registry import VIEWS, add_view


def register() -> None:
    """Add the entries; what they name is imported when it is used."""
    SCRIPTS.register("project", "pipelines.registration:recognize")
    SETTINGS.register("project", "pipelines.registration:DOCUMENTED_SETTINGS")
    VIEWS.register("success_counts", "pipelines.robustness.success_counts:SuccessCounts")
    add_view("tree", "success_counts")
