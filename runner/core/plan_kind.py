"""What is special about the batches of one entry point. Data only; each planner defines its kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlanKind:
    """A kind of plan: `name` is what plan.json calls it.

    `views` name the files that sum up a batch (runner/reports/registry.py), `listing` how its jobs are shown on a
    terminal (runner/reports/terminal.py). `stop_by` is what stops a batch in the background: `stop`, or
    `run_background.py`, which keeps a folder for each such batch.
    """

    name: str
    views: tuple[str, ...] = ("summary",)
    listing: str = "jobs"
    stop_by: str = "stop"
    keeps_resolved: bool = False  # every job keeps all its settings as one file
    quiet_json: bool = False  # --json prints no summary of it: it is a part of another batch
