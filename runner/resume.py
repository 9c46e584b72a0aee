"""Which batch is meant, and which of its jobs are to be run again. Reads folders, writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runner import layout, store
from runner.configfiles import ConfigError, did_you_mean
from runner.job import Job, Plan
from runner.plans import recorded
from runner.state import INTERRUPTED, Record
from runner.wording import shown


def batches(base: Path) -> Iterator[Path]:
    """The batches of a base folder, the newest first."""
    if base.is_dir():
        found = [path.parent for path in base.glob("*/plan.json") if not path.parent.is_symlink()]
        yield from sorted(found, key=lambda path: (path.stat().st_ctime_ns, path.name), reverse=True)


def find(base: Path, named: str) -> Path:
    """The batch that `named` means: a folder, a name in `base`, or, if empty, the newest. Raises ConfigError."""
    known = {path.name: path for path in batches(base)}
    if not named:
        if not known:
            raise ConfigError(f"{shown(base)}: there is no batch yet")
        latest = base / layout.LATEST
        return latest.resolve() if (latest / "plan.json").exists() else next(iter(known.values()))
    for path in (Path.cwd() / Path(named).expanduser(), base / named):
        if path.is_dir():
            return path.resolve()
    near = did_you_mean(named, known) or f"there are {', '.join(list(known)[:3]) or 'none'}"
    raise ConfigError(f"{named}: no such batch; {near}")


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


def _settled(job: Job, only: str | None, *, alone: bool) -> Record | None:
    done = store.finished(job)
    if done is not None:
        return done
    result = store.read_result(job)
    if not alone and only in (None, _kind(result["status"] if result else None)):
        return None
    return replace(store.record(job, result), cached=True) if result else Record(job)


def _kind(status: str | None) -> str:
    """The word of --only for a status."""
    return "pending" if status is None else "interrupted" if status == INTERRUPTED else "failed"


def renewed(plan: Plan, settled: dict[str, Record], *, accept: bool) -> Plan:
    """The plan with the configs as they are now. Raises ConfigError if they changed and that is not accepted."""
    todo = [job for job in plan.jobs if job.name not in settled]
    if secret := recorded.hidden(todo):
        raise ConfigError(*secret)
    jobs, differences = {job.name: job for job in plan.jobs}, []
    for job in todo:
        jobs[job.name], lines = recorded.renewed(job)
        differences += lines
    if differences and not accept:
        raise ConfigError(*differences, "the configs changed since the batch was planned; --accept_changes goes on")
    return replace(plan, jobs=tuple(jobs.values()))
