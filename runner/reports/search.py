"""search.json: the trials of a search, the best first. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runner.core.job import Plan
from runner.core.state import COMPLETED, INTERRUPTED, Finished, Record
from runner.disk.layout import SEARCH
from runner.output.names import canonical
from runner.planners.search import of, params_of

SCHEMA = 1


class SearchView:
    """The view of a search."""

    on_start = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any]]:
        return {SEARCH: {"schema": SCHEMA, "timestamp": timestamp, **search_of(self._plan, records)}}


def reached(record: Record, metric: str, goal: str) -> float | None:
    """The best value of a metric that a job which completed reached; None if it has none that is finite."""
    if record.status != COMPLETED or not isinstance(record.state, Finished):
        return None
    result = record.state.result
    values: list[Any] = [value for name, value in result.final_metrics.items() if canonical(name) == canonical(metric)]
    values += [entry.get("value") for name, entry in result.best_metrics.items()
               if canonical(name) == canonical(metric) and isinstance(entry, dict)]  # fmt: skip
    found = [float(one) for one in values if isinstance(one, int | float) and math.isfinite(one)]
    if not found:
        return None
    return min(found) if goal == "min" else max(found)


def search_of(plan: Plan, records: Sequence[Record]) -> dict[str, Any]:
    """The trials with their values: those with the best first, then those without, in their order."""
    search = of(plan)
    assert search is not None
    trials: list[dict[str, Any]] = [
        {
            "name": record.job.name,
            "status": record.status,
            "value": reached(record, search.metric, search.goal),
            "params": params_of(record.job, search),
        }
        for record in records
    ]
    sign = 1 if search.goal == "min" else -1
    ordered = sorted(trials, key=lambda one: (one["value"] is None, sign * (one["value"] or 0.0)))
    ended = [record for record in records if isinstance(record.state, Finished) and record.status != INTERRUPTED]
    return {
        "metric": search.metric,
        "goal": search.goal,
        "sampler": search.sampler,
        "seed": search.seed,
        "trials": search.most,
        "evaluated": len(ended),
        "failed": sum(record.status != COMPLETED for record in ended),
        "best": ordered[0] if ordered and ordered[0]["value"] is not None else None,
        "ordered": ordered,
    }
