"""How far a job is, and whether it is queued again after it was cut short: not for ever without progress."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runner.core.job import Job
from runner.core.options import RunOptions
from runner.disk.checkpoints import latest_checkpoint
from runner.disk.layout import JobPaths
from runner.disk.reading import tail
from runner.output import rows
from runner.slurm.claims import Claim

MOST_IDLE = 2  # starts one after another that were cut short without progress


def measured(job: Job, claim: Claim, options: RunOptions) -> Claim:
    """The claim with how far its job is now."""
    paths = JobPaths(job.out_dir)
    iterations = [
        position
        for path in (paths.metrics, paths.parsed_metrics)
        for line in tail(path, links=path == paths.metrics)
        if (row := rows.parse(line)) is not None and (position := rows.position(row)[0]) is not None
    ]
    found = latest_checkpoint(str(job.out_dir), options.checkpoints)
    return replace(claim, position=max(iterations, default=None), checkpoint=_identity(found))


def _identity(checkpoint: str | None) -> str | None:
    """What changes whenever a checkpoint is saved again."""
    try:
        return None if checkpoint is None else f"{checkpoint} {Path(checkpoint).stat().st_mtime_ns}"
    except OSError:
        return checkpoint


def advanced(before: Claim, now: Claim) -> bool:
    """Whether a start that was cut short brought the job further: it left a new checkpoint, at a later iteration."""
    if now.checkpoint is None or now.checkpoint == before.checkpoint:
        return False
    return before.position is None or now.position is None or now.position > before.position


def following(own: Claim, before: Claim | None, *, fresh: bool) -> Claim:
    """The claim `own`, with how often its job was started before. `fresh`: a user started it since."""
    if before is None or (fresh and before.comment != own.comment):
        return own
    return replace(own, requeues=before.requeues + 1, idle=0 if advanced(before, own) else before.idle + 1)


def refused(claim: Claim, options: RunOptions) -> str | None:
    """Why a job is not started again; None if it is."""
    if claim.idle >= MOST_IDLE:
        hint = "let it save more often, or ask for a longer --slurm_time"
        return f"it was cut short {MOST_IDLE} times one after another without progress; {hint}"
    if claim.requeues > options.slurm_max_requeues:
        return f"it was cut short {claim.requeues} times, the limit of --slurm_max_requeues"
    return None
