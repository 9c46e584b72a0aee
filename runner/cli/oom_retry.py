"""`--oom_retry` for one batch: how its jobs are started smaller, with what earlier runs learned, and what is said."""

from __future__ import annotations

from dataclasses import replace

from runner.cli import added, planning
from runner.core.causes import GPU_OOM
from runner.core.job import Job, Plan
from runner.core.text import listed
from runner.disk import results
from runner.engine.adjustments import Adjustments, is_alone
from runner.planners.command import Command
from runner.planners.smaller_batches import Sizes, sizes, smaller, with_sizes, words


def adjustments(plan: Plan) -> Adjustments | None:
    """What the engine asks before each start; None without the option."""
    if not plan.options.oom_retry:
        return None

    def command() -> Command:
        return planning.command_of(added.arguments_of(plan), plan)

    def change(job: Job, now: Sizes) -> Job:
        return with_sizes(plan, job, plan.options.oom_keys, now, command)

    earlier = [(job, now) for job in plan.jobs if (now := _used(plan, job)) is not None]
    return Adjustments(plan.options, change, earlier)


def _used(plan: Plan, job: Job) -> Sizes | None:
    """The sizes of the latest attempt of a job, if they were not the planned ones, and these are still the same."""
    found, planned = results.adjusted(job), sizes(job.config, plan.options.oom_keys)
    pairs = [found.get(key, (0, 0)) for key in plan.options.oom_keys]
    return (pairs[0][1], pairs[1][1]) if planned == (pairs[0][0], pairs[1][0]) else None


def with_notes(plan: Plan) -> Plan:
    """The plan with notes on what the option would change, and on jobs for which it does nothing."""
    options = plan.options
    if not options.oom_retry:
        return plan
    if not (options.gpus or is_alone(options)):
        note = "--oom_retry does nothing where several jobs share a GPU; give --gpus, or --max_workers 1"
        return replace(plan, notices=(*plan.notices, note))
    changes: dict[str, None] = {}
    without = []
    for job in plan.jobs:
        steps = _steps(plan, job)
        changes |= dict.fromkeys([", then ".join(steps)] if steps else [])
        without += [] if steps else [job.name]
    notes = [f"after {GPU_OOM}: {change}" for change in changes]
    if without:
        keys = " and ".join(options.oom_keys)
        notes.append(f"--oom_retry does nothing for {listed(without, 5)}: {keys} are not known, or cannot be smaller")
    return replace(plan, notices=(*plan.notices, *notes))


def _steps(plan: Plan, job: Job) -> list[str]:
    """What would be changed, one try after another."""
    now = sizes(job.config, plan.options.oom_keys)
    found: list[str] = []
    while now is not None and len(found) < plan.options.oom_retry and (then := smaller(now)) is not None:
        found.append(words(plan.options.oom_keys, now, then))
        now = then
    return found
