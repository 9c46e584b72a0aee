"""A job with a smaller micro-batch and more accumulation, so that one step of its training stays the same.

Its fingerprint stays the planned one: what is computed is the same, but for the order of sums.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.planners import settings
from runner.planners.command import Command
from runner.planners.settings import Settings

OPTION = "oom_retry"

Sizes = tuple[int, int]  # samples in a micro-batch, micro-batches in a step


def sizes(config: Mapping[str, Any], keys: Sequence[str]) -> Sizes | None:
    """The two settings, named by `keys`; None where they are not two whole numbers above 0."""
    found = [config.get(key) for key in keys]
    micro, steps = (value if type(value) is int and value > 0 else 0 for value in found)
    return (micro, steps) if micro and steps else None


def smaller(now: Sizes) -> Sizes | None:
    """The largest micro-batch of at most half the size that divides the one there is; None if it is 1 already."""
    micro, steps = now
    if micro < 2:
        return None
    part = next(part for part in range(micro // 2, 0, -1) if micro % part == 0)
    return part, steps * (micro // part)


def words(keys: Sequence[str], before: Sizes, after: Sizes) -> str:
    """`batch_size 32 -> 16, gradient_accumulation_steps 1 -> 2`"""
    pairs = zip(keys, before, after, strict=True)
    return ", ".join(f"{key} {old} -> {new}" for key, old, new in pairs)


def with_sizes(plan: Plan, job: Job, keys: Sequence[str], now: Sizes, command: Callable[[], Command]) -> Job:
    """The job as it is started with these sizes. Raises UserError where they do not reach its program."""
    planned = sizes(job.config, keys)
    assert planned is not None
    values = {key: str(value) for key, value in zip(keys, now, strict=True)}
    with contextlib.chdir(plan.cwd):
        changed = settings.changed(plan, job, Settings(OPTION, values, command()))
    if _others(changed.config, keys) != _others(job.config, keys):
        raise UserError(f"{job.name}: its config was changed since it was planned")
    if sizes(changed.config, keys) != now:
        raise UserError(f"{job.name}: {' and '.join(keys)} are not settings of its program")
    adjusted = dict(zip(keys, zip(planned, now, strict=True), strict=True))
    return replace(changed, adjusted=adjusted, rerun=job.rerun).with_fingerprint(job.fingerprint)


def _others(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}
