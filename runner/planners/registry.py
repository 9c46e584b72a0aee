"""The kinds of plans by name: the built-in ones, and those of installed packages."""

from __future__ import annotations

from runner.core.plan_kind import PlanKind
from runner.core.registry import Registry

KINDS: Registry[PlanKind] = Registry(
    "runner.plan_kinds",
    "kind of plan",
    {
        "files": "runner.planners.files:KIND",
        "spec": "runner.planners.sweep:KIND",
        "search": "runner.planners.search:KIND",
        "tree": "runner.planners.tree:KIND",
        "programs": "runner.planners.programs:KIND",
    },
)
