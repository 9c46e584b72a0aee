"""How many attacks and how many odd rows succeeded in all runs of an output root: _aggregate/aggregate_success_counts.*

Pure but for reading what the runs have left, so it can be made again at any time.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.robustness import counts
from pipelines.robustness.counts import Counts, Share
from runner.core import csv_text
from runner.core.job import Plan
from runner.core.names import natural
from runner.core.state import COMPLETED, Finished, Record
from runner.disk.layout import RESULT
from runner.disk.reading import read_json
from runner.planners import programs

SCHEMA = 1
FOLDER, NAME = "_aggregate", "aggregate_success_counts"  # in an output root: a .csv and a .json
KINDS = ("adversarial", "ood")
COLUMNS = (
    "run", "subdir", "status", "adversarial_success", "adversarial_total", "adversarial_rate", "ood_success",
    "ood_total", "ood_rate", "duration_seconds", "attempt", "config_path", "output_dir", "error", "notes",
)  # fmt: skip
LONGEST = 1 << 20  # bytes of a metadata.json


def row(record: Record) -> dict[str, Any]:
    """The row of one job. Of one that has ended its folder is read, however it ended; of others nothing is known."""
    about: dict[str, Any] = {
        "run": record.job.name,
        "subdir": record.job.name.partition("/")[0],
        "status": record.status,
        "config_path": str(record.job.source) if record.job.source else None,
        "output_dir": str(record.job.out_dir),
    }
    if not isinstance(record.state, Finished):
        return _row(about, Counts(None, None, f"the run is {record.status}"))
    about |= {
        "duration_seconds": record.state.seconds,
        "attempt": record.attempt,
        "error": record.state.outcome.error,
    }
    return _row(about, counts.derive(record.job.out_dir))


@dataclass(frozen=True, slots=True)
class Ended:
    """How the latest call of a user's own program ended."""

    program: str
    status: str
    error: str | None

    @property
    def status_of_missing(self) -> str:
        """The status of a run that the program left without one."""
        return "unknown" if self.status == COMPLETED else self.status

    @property
    def cause(self) -> str:
        if self.status == COMPLETED:
            return f"{self.program} completed, and left no metadata.json with a status here"
        return f"{self.program}: {self.error or self.status}"


def ended(root: Path, found: Mapping[str, Any]) -> Ended | None:
    """How the program that runs a config ended when it was called last; None if it was not, or has not ended."""
    name = f"run_{found['name'].partition('/')[0]}"
    calls = sorted((root / programs.FOLDER).glob(f"*/{glob.escape(name)}"), key=natural)
    said = read_json(calls[-1] / RESULT) if calls else {}
    if not said.get("status"):
        return None
    error = said.get("error")
    return Ended(str(found.get("program") or name), str(said["status"]), None if error is None else str(error))


def other(found: Mapping[str, Any], ended: Ended | None = None) -> dict[str, Any]:
    """The row of a config that a program of the user's own runs: what its metadata.json and its files tell."""
    folder = Path(found["experiment_dir"])
    said = read_json(folder / "metadata.json", LONGEST, links=True)
    status, error = said.get("status"), said.get("error")
    if status in (None, "running") and ended is not None:  # the program has ended, and did not say how this run did
        status, error = ended.status_of_missing, error or ended.cause
    about = {
        "run": found["name"],
        "subdir": found["name"].partition("/")[0],
        "status": str(status or "unknown"),
        "config_path": found["config_path"],
        "output_dir": str(folder),
        "duration_seconds": said.get("duration_seconds"),
        "error": error,
    }
    return _row(about, counts.derive(folder))


def _row(about: Mapping[str, Any], found: Counts) -> dict[str, Any]:
    entries: dict[str, Any] = {**about, "notes": found.notes}
    for kind in KINDS:
        share: Share | None = getattr(found, kind)
        entries[f"{kind}_success"] = share.success if share else None
        entries[f"{kind}_total"] = share.total if share else None
        entries[f"{kind}_rate"] = share.rate if share else None
    return {column: entries.get(column) for column in COLUMNS}


def totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the rows whose counts are known, and how many are not; `by_status` counts all rows."""
    found: dict[str, Any] = {"runs": len(rows), "by_status": dict(Counter(row["status"] for row in rows))}
    found["completed"] = sum(row["status"] == COMPLETED for row in rows)
    for kind in KINDS:
        known = [row for row in rows if row[f"{kind}_total"] is not None]
        success, total = (sum(row[f"{kind}_{what}"] for row in known) for what in ("success", "total"))
        found[f"{kind}_success"] = success if known else None
        found[f"{kind}_total"] = total if known else None
        found[f"{kind}_rate"] = success / total if total else None
        found[f"{kind}_unknown_runs"] = len(rows) - len(known)
    return found


def as_record(plan: Plan, rows: Sequence[Mapping[str, Any]], timestamp: str) -> dict[str, Any]:
    """aggregate_success_counts.json."""
    about = {"schema": SCHEMA, "timestamp": timestamp, "output_root": str(plan.root)}
    return {**about, "config_root": plan.origin.get("config_root"), "totals": totals(rows), "runs": list(rows)}


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """aggregate_success_counts.csv; what is not known is empty."""
    return csv_text.as_csv(COLUMNS, ([row.get(column) for column in COLUMNS] for row in rows))


class SuccessCounts:
    """The view of an output root; a run that has ended is read once."""

    on_start = False

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._read: dict[str, tuple[Record, dict[str, Any]]] = {}

    def files(self, records: Sequence[Record], timestamp: str) -> Mapping[str, Mapping[str, Any] | bytes]:
        rows = self.rows(records)
        return {
            f"{FOLDER}/{NAME}.csv": as_csv(rows).encode(errors="backslashreplace"),
            f"{FOLDER}/{NAME}.json": as_record(self._plan, rows, timestamp),
        }

    def rows(self, records: Iterable[Record]) -> list[dict[str, Any]]:
        """A row for each record, and for each config that a program of the user's own runs."""
        rows = []
        for record in records:
            known = self._read.get(record.job.name)
            if known is None or known[0] is not record:
                known = self._read[record.job.name] = (record, row(record))
            rows.append(known[1])
        there = {row["run"] for row in rows}
        others = [one for one in self._plan.origin.get("others", ()) if one["name"] not in there]
        return rows + [other(one, ended(self._plan.root, one)) for one in others]
