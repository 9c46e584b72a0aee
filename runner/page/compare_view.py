"""The comparison of the jobs of a batch, as the command `compare` computes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.core.errors import UserError
from runner.reports import grouping
from runner.reports.best import is_compared
from runner.reports.comparing.compare import Unknown, compare
from runner.reports.load_results import load_results


def of(root: Path, metric: str | None, goal: str | None, over: str | None) -> dict[str, Any]:
    """Groups, what can be told apart, what mattered, what failed; and the metrics that can be chosen."""
    found = load_results(str(root))
    if not found:
        raise UserError("no job has a result yet")
    settings = grouping.settings_of(found)
    named = None if not over else [over] if over in settings else over.split(",")
    try:
        made = compare(found, metric or None, goal if goal in ("min", "max") else None, named)
    except Unknown as error:
        raise UserError(f"{error.what}: {error}") from None
    sentences = [finding.sentence() for finding in made.failures]
    metrics = sorted(name for name in found.measured if is_compared(name))
    return {**made.to_json(), "sentences": sentences, "metrics": metrics}
