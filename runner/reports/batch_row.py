"""What `list` shows of one batch, as values. Pure; what is known of a batch that has ended can be kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from runner.core.fields import Fields
from runner.reports.status import BatchStatus, BestValue


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One batch. `seconds`: how long its jobs ran; `counts`: `2 completed, 1 failed`; `error`: why it is unreadable."""

    name: str
    state: str
    created_at: str | None
    seconds: float
    best: BestValue | None
    counts: str
    error: str | None = None
    note: str | None = None  # of its user, as are the tags
    tags: Sequence[str] = ()

    @classmethod
    def of(cls, batch: BatchStatus, now: float) -> BatchRow:
        """The row of a batch whose records were read."""
        return cls(
            batch.name,
            batch.state,
            batch.created_at,
            batch.seconds(now),
            batch.best(),
            batch.counts(),
            batch.error,
            batch.note,
            batch.tags,
        )

    def age(self, now: float) -> float | None:
        """Seconds since the batch was started first."""
        try:
            return now - datetime.fromisoformat(self.created_at).timestamp() if self.created_at else None
        except (ValueError, OverflowError):  # the second: the year 1, in a zone east of here
            return None


@dataclass(frozen=True, slots=True)
class EndedJobs:
    """What a row shows of jobs that have all ended; it does not change while their records do not."""

    statuses: Sequence[str]
    created_at: str | None
    seconds: float
    best: BestValue | None
    counts: str

    @classmethod
    def of(cls, batch: BatchStatus) -> EndedJobs | None:
        """None if a job has not ended."""
        jobs = batch.jobs.values()
        if not jobs or not all(job.ended for job in jobs):
            return None
        row = BatchRow.of(batch, 0.0)
        return cls([job.status for job in jobs], row.created_at, row.seconds, row.best, row.counts)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> EndedJobs:
        """Raises ValueError for an odd record."""
        fields = Fields(record)
        best = None
        if fields.mapping("best", None) is not None:
            found = Fields(record["best"], "best.")
            best = BestValue(found.text("metric"), found.number("value"), found.text("job"), found.text("better"))
        created_at, counts = fields.text("created_at", None), fields.text("counts")
        return cls(fields.words("statuses"), created_at, fields.number("seconds"), best, counts)
