"""experiment_summary.json: a batch and how each of its jobs ended. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.core.job import Plan
from runner.core.result import QUARANTINE
from runner.core.state import (
    COMPLETED,
    ERROR,
    FAILED,
    INTERRUPTED,
    KILLED,
    PENDING,
    PRUNED,
    RUNNING,
    STALLED,
    TIMEOUT,
    Finished,
    Record,
)
from runner.disk.json_text import Each
from runner.disk.layout import SUMMARY
from runner.reports import gpu_memory

SCHEMA = 1


class SummaryView:
    """The view of every kind of batch."""

    on_start = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any]]:
        results = Each(((record.job.name, _entry(record)) for record in records), named=True)
        return {SUMMARY: {**_about(self._plan, records, timestamp), "results": results}}


def counts(records: Iterable[Record]) -> dict[str, int]:
    """The number of jobs by their ends; `pruned` only where there are any.

    `failed` ran and did not succeed; `errors` could not start, or were lost.
    """
    by_status = Counter(record.status for record in records)
    return {
        "completed": by_status[COMPLETED],
        **({"pruned": by_status[PRUNED]} if by_status[PRUNED] else {}),
        "failed": sum(by_status[status] for status in (FAILED, KILLED, TIMEOUT, STALLED)),
        "errors": by_status[ERROR],
        "interrupted": by_status[INTERRUPTED],
        "pending": by_status[PENDING] + by_status[RUNNING],
    }


def warned_number(records: Iterable[Record]) -> int:
    """The number of jobs that completed with a warning."""
    return sum(record.status == COMPLETED and bool(record.warnings) for record in records)


def summary(plan: Plan, records: Sequence[Record], timestamp: str) -> dict[str, Any]:
    """experiment_summary.json."""
    results = {record.job.name: _entry(record) for record in records}
    return {**_about(plan, records, timestamp), "results": results}


def _about(plan: Plan, records: Sequence[Record], timestamp: str) -> dict[str, Any]:
    """All of it but the results."""
    return {
        "schema": SCHEMA,
        "timestamp": timestamp,
        "base_out_dir": str(plan.root.parent),
        "experiment_dir": str(plan.root),
        "global_overrides": dict(plan.overrides),
        "total_experiments": len(records),
        **counts(records),
        "completed_with_warnings": warned_number(records),
        **_quarantine(records),
        **({"gpu_packing": gains} if (gains := gpu_memory.gains(records)) else {}),
    }


def _quarantine(records: Iterable[Record]) -> dict[str, Any]:
    """The GPUs that were not leased again, where there are any."""
    results = [record.state.result for record in records if isinstance(record.state, Finished)]
    found = {str(one.get("uuid")): one for result in results for one in result.quarantine}
    return {QUARANTINE: list(found.values())} if found else {}


def _entry(record: Record) -> dict[str, Any]:
    if isinstance(record.state, Finished):
        return record.state.result.to_json()
    return {
        "config_name": record.job.name,
        "config_path": str(record.job.source) if record.job.source else None,
        "experiment_dir": str(record.job.out_dir),
        "status": record.status,
    }
