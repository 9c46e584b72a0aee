"""The arguments that a batch was planned with, used again: for more jobs, and for other settings of its jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.cli import planning
from runner.cli.arguments import Arguments, parse
from runner.configs.overrides import without
from runner.core import redact
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.text import shown


@dataclass(frozen=True, slots=True)
class Added:
    """A plan of the new jobs alone, in the folder of the batch; `dry_run`: it shall only be shown."""

    plan: Plan
    dry_run: bool
    as_json: bool


def plan_added(before: Plan, configs: Sequence[str], overrides: Sequence[str]) -> Added:
    """Plan configs with the script, the command and the overrides of the batch, and more overrides.

    Raises UserError with every error. Names that jobs of the batch have are not used again.
    """
    if before.kind.name != "files":
        how = "an experiment of a spec" if before.kind.name == "spec" else f"a batch of kind {before.kind.name!r}"
        cause = "its jobs do not come from named configs; change what it was planned from, and run it again"
        raise UserError(f"{shown(before.root)}: is {how}; {cause}")
    patterns = [str(Path.cwd() / Path(pattern).expanduser()) for pattern in configs]
    with contextlib.chdir(folder(before)):  # paths in the arguments are relative to it
        again = [word.partition("=")[0].removeprefix("--") for word in overrides if word.startswith("--")]
        arguments = parse([*without(words(before), again), "--configs", *patterns, *overrides])
        plan = planning.plan(arguments, before)
    secret = [job.name for job in plan.jobs if list(job.argv) != redact.argv(job.argv, before.options.not_secret)]
    if secret:
        cause = "its command holds a secret, which would be written down; start it in a batch of its own"
        raise UserError(*(f"{name}: {cause}" for name in secret))
    return Added(plan, arguments.given.dry_run, arguments.given.json)


def words(plan: Plan) -> list[str]:
    """The words of the command line that the batch was started with, without its configs."""
    recorded = plan.origin.get("arguments")
    if recorded is not None:
        return list(recorded)
    first = next((job.rerun for job in plan.jobs if "--configs" in job.rerun), ())  # 0.1.0 has it with each job
    return list(first[first.index("--configs") + 2 :]) if first else []


def with_arguments(plan: Plan) -> Plan:
    """The plan with its arguments, also where 0.1.0 recorded them with each job only: these may change."""
    if plan.kind.name != "files" or "arguments" in plan.origin:
        return plan
    return replace(plan, origin={**plan.origin, "arguments": words(plan), "working_dir": str(folder(plan))})


def folder(plan: Plan) -> Path:
    """The folder that the batch was started in."""
    return plan.cwd


def arguments_of(plan: Plan) -> Arguments:
    """The same as parsed arguments; to be called in `folder`."""
    return planning.as_planned_before(parse([*words(plan), "--configs", "CONFIG"]), plan)
