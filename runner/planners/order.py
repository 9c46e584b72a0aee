"""Jobs that are added to a plan, and another order of those that have not started. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from runner.core.job import Job, Plan


def moved(plan: Plan, names: Sequence[str], pending: Collection[str], *, first: bool) -> Plan:
    """The plan with the named jobs, in this order, before all other pending jobs, or after all other jobs."""
    jobs = {job.name: job for job in plan.jobs}
    others = [job for job in plan.jobs if job.name not in names]
    at = next((number for number, job in enumerate(others) if job.name in pending), len(others))
    if not first:
        at = len(others)
    return replace(plan, jobs=(*others[:at], *(jobs[name] for name in names), *others[at:]))


def joined(plan: Plan, added: Sequence[Job], pending: Collection[str], *, first: bool) -> Plan:
    """The plan with more jobs, before its pending jobs or after all. Raises ValueError for a name that is taken."""
    names = [job.name for job in added]
    return moved(replace(plan, jobs=(*plan.jobs, *added)), names, pending, first=first)
