"""Which batch is meant, and which of its jobs are to be run again. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runner.core.errors import UserError, changed, did_you_mean
from runner.core.job import Job, Plan
from runner.core.state import INTERRUPTED, Record
from runner.core.text import shown
from runner.disk import layout, results
from runner.planners import recorded


def batches(base: Path) -> Iterator[Path]:
    """The batches of a base folder, the newest first."""
    if base.is_dir():
        found = [path.parent for path in base.glob("*/plan.json") if not path.parent.is_symlink()]
        yield from sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.name), reverse=True)


def find(base: Path, named: str) -> Path:
    """The batch that `named` means: a folder, a name in `base`, or, if empty, the newest. Raises UserError."""
    known = {path.name: path for path in batches(base)}
    if not named:
        if not known:
            raise UserError(f"{shown(base)}: there is no batch yet")
        latest = base / layout.LATEST
        return latest.resolve() if (latest / "plan.json").exists() else next(iter(known.values()))
    for path in (Path.cwd() / Path(named).expanduser(), base / named):
        if path.is_dir():
            return path.resolve()
    near = did_you_mean(named, known) or f"there are {', '.join(list(known)[:3]) or 'none'}"
    raise UserError(f"{named}: no such batch; {near}")


def newest_of(base: Path, experiment: str) -> Path | None:
    """The newest sweep of this name."""
    for root in batches(base):
        try:
            if recorded.plan(root).origin.get("experiment") == experiment:
                return root
        except UserError:  # one that cannot be read is not the one that is meant
            continue
    return None


def no_such_job(named: str, names: Sequence[str]) -> str:
    """A sentence on a name that no job has."""
    return f"{named}: no such job; {did_you_mean(named, names) or 'there are ' + ', '.join(names[:5])}"


def known(plan: Plan, only: str | None, again: str | None = None) -> dict[str, Record]:
    """The records of the jobs that are not to be run: those that completed, and those that `only` leaves out.

    `again` names one job that is run whatever its record says, and alone.
    """
    return {
        job.name: record
        for job in plan.jobs
        if job.name != again and (record := _settled(job, only, alone=again is not None)) is not None
    }


def standing(plan: Plan, asked_for: Collection[str]) -> dict[str, Record]:
    """The records of the jobs that completed, and of all that are not `asked_for`."""
    found = {
        job.name: results.finished(job) if job.name in asked_for else results.as_it_stands(job) for job in plan.jobs
    }
    return {name: record for name, record in found.items() if record is not None}


def _settled(job: Job, only: str | None, *, alone: bool) -> Record | None:
    done = results.finished(job)
    if done is not None:
        return done
    record = results.as_it_stands(job)
    if not alone and only in (None, _kind(record.status)):
        return None
    return record


def _kind(status: str) -> str:
    """The word of --only for a status."""
    return status if status in ("pending", INTERRUPTED) else "failed"


def refuse_hidden(plan: Plan, settled: dict[str, Record]) -> None:
    """Raise UserError if a job that is to be run had a secret on its command line."""
    if secret := recorded.hidden([job for job in plan.jobs if job.name not in settled]):
        raise UserError(*secret)


def limited(plan: Plan, settled: dict[str, Record], limit: int | None) -> dict[str, Record]:
    """`settled`, and all jobs but `limit` of those that it leaves to be run: first those that never came to an end.

    So repeated calls get past a job that fails every time.
    """
    if limit is None:
        return settled
    todo = {job.name: results.as_it_stands(job) for job in plan.jobs if job.name not in settled}
    first = sorted(todo, key=lambda name: _kind(todo[name].status) == "failed")[:limit]
    return settled | {name: record for name, record in todo.items() if name not in first}


def replanned(before: Plan, now: Plan, *, accept: bool) -> Plan:
    """`before`, if its spec still means the same runs, else `now`. Raises UserError if that is not accepted."""
    name = now.origin["experiment"]
    if before.origin.get("experiment") != name:
        raise UserError(f"{shown(before.root)}: is not an experiment of {name!r}; name one of its own, or none")
    earlier, later = ({job.name: job for job in plan.jobs} for plan in (before, now))
    differences = [
        line
        for name, job in later.items()
        if name in earlier
        for line in recorded.differences(name, earlier[name], job)
    ]
    differences += [f"{name}: is new" for name in later if name not in earlier]
    differences += [f"{name}: is not in the spec any more" for name in earlier if name not in later]
    if not differences:
        return before
    if not accept:
        raise changed(differences, "the runs changed since the experiment began; --accept_changes goes on")
    return replace(now, created_at=before.created_at)


def renewed(plan: Plan, settled: dict[str, Record], *, accept: bool) -> Plan:
    """The plan with the configs as they are now. Raises UserError if they changed and that is not accepted."""
    todo = [job for job in plan.jobs if job.name not in settled]
    jobs, differences = {job.name: job for job in plan.jobs}, []
    for job in todo:
        jobs[job.name], lines = recorded.renewed(job, resolved=plan.kind.keeps_resolved)
        differences += lines
    if differences and not accept:
        raise changed(differences, "the configs changed since the batch was planned; --accept_changes goes on")
    return replace(plan, jobs=tuple(jobs.values()))
