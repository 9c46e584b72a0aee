"""The rows of `list`: of a batch that has ended from what is kept of it, of all others from their records."""

from __future__ import annotations

from pathlib import Path

from runner.cli import batch_folders, inspect
from runner.core.errors import UserError
from runner.disk import labels, layout, list_cache
from runner.disk.list_cache import Entry, ListCache
from runner.disk.lock import holder
from runner.planners import recorded
from runner.reports.batch_row import BatchRow, EndedJobs


def rows(base: Path, now: float) -> list[BatchRow]:
    """A row for every batch in `base`, the latest first."""
    cache = ListCache(base)
    found = [_kept(root, cache) or _read(root, cache, now) for root in batch_folders.batches(base)]
    cache.save()
    return found


def _kept(root: Path, cache: ListCache) -> BatchRow | None:
    """The row of a batch whose records have not changed since it was listed; None if they have."""
    kept = cache.get(root)
    if kept is None:
        return None
    try:
        jobs = EndedJobs.from_json(kept)
    except ValueError:
        return None
    state, _ = inspect.state_of(root, holder(layout.BatchPaths(root).lock), jobs.statuses)
    own = labels.read(root)
    return BatchRow(
        root.name, state, jobs.created_at, jobs.seconds, jobs.best, jobs.counts, note=own.note, tags=own.tags
    )  # fmt: skip


def _read(root: Path, cache: ListCache, now: float) -> BatchRow:
    """The row from the records. It is kept if all jobs have ended, and no record was replaced meanwhile."""
    try:
        unread = list_cache.stamp(root, ())
        plan = recorded.plan(root, contents=False)
        names = [job.name for job in plan.jobs]
        before = list_cache.stamp(root, names)
        batch = inspect.of_plan(root, plan)
    except UserError:
        return BatchRow.of(inspect.batch_or_error(root), now)
    ended = EndedJobs.of(batch)
    same = unread == list_cache.stamp(root, ()) and before == list_cache.stamp(root, names)
    if ended is not None and same and batch.name == root.name:
        cache.put(root, Entry(names, before, ended.to_json()))
    return BatchRow.of(batch, now)
