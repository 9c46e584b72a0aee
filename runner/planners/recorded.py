"""plan.json of a batch -> its Plan, with its kind."""

from __future__ import annotations

from pathlib import Path

from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.plan_kind import PlanKind
from runner.disk import plan_file
from runner.planners.registry import KINDS


def plan(root: Path, *, contents: bool = True) -> Plan:
    """The plan of the batch in `root`. Raises UserError if there is none that can be read.

    `contents`: with those of the jobs' configs, which only a run of the batch needs.
    """
    return plan_file.read(root, kind_named, contents=contents)


def kind_named(name: str) -> PlanKind:
    """The kind; a default one for a plugin that is not installed here: its jobs run all the same."""
    try:
        return KINDS.get(name)
    except UserError:
        return PlanKind(name)
