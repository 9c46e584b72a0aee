"""experiment.json: a sweep and its runs, each with one of four words for its status. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runner.core.job import Plan
from runner.core.state import COMPLETED, FAILED, INTERRUPTED, PENDING, PRUNED, Finished, Record, Running
from runner.disk.layout import EXPERIMENT

SCHEMA = 1


class ExperimentView:
    """The view of a sweep. It names the run that is running, so it is written when a run starts as well."""

    on_start = True

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any]]:
        return {EXPERIMENT: experiment(self._plan, records, timestamp)}


def experiment(plan: Plan, records: Sequence[Record], timestamp: str) -> dict[str, Any]:
    """experiment.json: a sweep and its runs."""
    return {
        "schema": SCHEMA,
        "name": plan.origin.get("experiment"),
        "mode": plan.origin.get("mode"),
        "spec": plan.origin.get("spec"),
        "experiment_dir": str(plan.root),
        "working_dir": str(plan.jobs[0].cwd),
        "created_at": plan.created_at,
        "timestamp": timestamp,
        "runs": [_run(record) for record in records],
    }


#: How a run ended -> its status; one that was interrupted is still pending.
_WORDS = {COMPLETED: COMPLETED, PRUNED: PRUNED, INTERRUPTED: PENDING}


def _run(record: Record) -> dict[str, Any]:
    """One run; `status` has the four words of a sweep, `outcome` is the exact status at its end."""
    entry: dict[str, Any] = {
        "name": record.job.name,
        "status": record.status,
        "started_at": None,
        "completed_at": None,
        "return_code": None,
        "config_path": str(record.job.source),
        "run_dir": None,
        "outcome": None,
        "error": None,
        "attempt": record.attempt,
    }
    if isinstance(record.state, Running):
        entry["started_at"] = record.state.started_at
    elif isinstance(record.state, Finished):
        outcome, completed = record.state.outcome, record.status == COMPLETED
        entry |= {
            "status": _WORDS.get(record.status, FAILED),
            "started_at": record.state.started_at,
            "completed_at": record.state.ended_at,
            "return_code": outcome.exit_code,
            "run_dir": record.state.result.run_dir if completed else None,
            "outcome": outcome.status,
            "error": outcome.error,
        }
    return entry
