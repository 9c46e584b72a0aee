"""A tree of configs -> a Plan: config/<subdir>/…/x.yaml runs in outputs/<subdir>/…/x/. Pure.

The training script's adapter knows what a subdirectory means for its configs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.configs import reading
from runner.configs.config_file import ConfigFile
from runner.configs.reading import read_each
from runner.configs.scripts import recognize
from runner.configs.training_script import LeftOut, TrainingScript, checked
from runner.core import clock, redact
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import count, shown
from runner.planners import changes, jobs
from runner.planners.discovery import Found, Search, discover, passed_over
from runner.planners.exclusion import Exclusion
from runner.planners.files import left_out
from runner.planners.jobs import Request

KIND = PlanKind("tree", keeps_resolved=True)


@dataclass(frozen=True, slots=True)
class Tree:
    """Which configs. `programs` are the user's own, which run a subdirectory instead; `rerun` builds the command line
    that runs one job of the output root again."""

    search: Search
    rerun: Callable[[Path, str], tuple[str, ...]]
    programs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """What is done with each config that was found."""

    jobs: list[Job]
    others: list[Found]  # configs of subdirectories that have a program of their own
    bases: list[Found]
    left_out: list[tuple[Found, LeftOut]]
    notices: list[str]


def plan(request: Request, tree: Tree, now: datetime) -> Plan:
    """The plan for all configs of the tree; `request.base` is the output root. Raises UserError with every error."""
    exclusion = Exclusion(tree.search.ignore, tree.search.root)
    found = discover(tree.search, exclusion)
    sorted_, errors = _sort(request, tree, found)
    if errors:
        raise UserError(*dict.fromkeys(errors))
    if not sorted_.jobs and not sorted_.others:
        raise UserError(_nothing(tree, sorted_))
    return Plan(
        name=request.base.name,
        root=request.base,
        jobs=tuple(sorted_.jobs),
        kind=KIND,
        created_at=clock.iso(now.timestamp()),
        overrides=redact.mapping(request.overrides, request.options.not_secret),
        notices=(
            *_notices(tree, sorted_),
            *_renamed(found),
            *passed_over(tree.search, exclusion),
            *dict.fromkeys(sorted_.notices),
            *exclusion.unused(),
        ),
        options=request.options,
        origin={
            "config_root": str(tree.search.root),
            "others": [_other(one, request, tree) for one in sorted_.others],
        },
    )


def joined(now: Plan, before: Plan) -> Plan:
    """`now`, and the jobs of earlier calls for this output root that are not planned again, unchanged.

    So there is one record of all that was run there, whichever subdirectories are run this time. A job whose config is
    gone is removed from the record; its folder stays.
    """
    planned = {job.name.casefold() for job in now.jobs}
    kept = [job for job in before.jobs if job.name.casefold() not in planned and job.source and job.source.is_file()]
    known = planned | {other["name"].casefold() for other in now.origin["others"]}
    others = [
        other
        for other in before.origin.get("others", [])
        if other["name"].casefold() not in known and Path(other["config_path"]).is_file()
    ]
    origin = {**now.origin, "others": [*now.origin["others"], *others]}
    earlier = {job.name: job for job in before.jobs}
    same = changes.same_work(now, before).jobs
    planned_now = [_as_recorded(job, earlier[job.name]) if job.name in earlier else job for job in same]
    return replace(now, jobs=(*planned_now, *kept), origin=origin)


def _as_recorded(now: Job, before: Job) -> Job:
    """The job, with the recorded values of what has another value at each evaluation."""
    if not now.volatile or now.fingerprint != before.fingerprint:
        return now
    kept = {key: before.config[key] for key in now.volatile if key in before.config}
    return jobs.with_values(now, kept).with_fingerprint(before.fingerprint)


def _sort(request: Request, tree: Tree, found: Sequence[Found]) -> tuple[_Sorted, list[str]]:
    sorted_ = _Sorted([], [], [], [], [])
    errors: list[str] = []
    script = recognize(request.command.script)
    sorted_.others.extend(one for one in found if one.subdir in tree.programs)
    ours = [one for one in found if one.subdir not in tree.programs]
    paths = [Path(shown(one.path, request.cwd)) for one in ours]
    used: list[ConfigFile] = []
    for one, read in zip(ours, read_each(script, paths, request.options.config_timeout), strict=True):
        try:
            config = reading.found(read)
            if config.abstract:
                sorted_.bases.append(one)
                continue
            overrides = script.for_tree(config, one.subdir, request.overrides, named=bool(tree.search.subdirs))
            if isinstance(overrides, LeftOut):
                sorted_.left_out.append((one, overrides))
                continue
            job, warnings = _job(request, tree, script, one, config, overrides)
            sorted_.jobs.append(job)
            used += reading.noted(config)
            sorted_.notices.extend(warnings)
        except UserError as error:
            errors += error.problems
    sorted_.notices.extend(reading.notices(script, used, request.overrides))
    return sorted_, errors


def _job(
    request: Request, tree: Tree, script: TrainingScript, one: Found, config: ConfigFile, overrides: Mapping[str, str]
) -> tuple[Job, Sequence[str]]:
    result = checked(script, config, overrides)
    job = jobs.job(request, request.base, one.name, config, result, one.path, tree.rerun(request.base, one.name))
    if job.snapshot is not None and script.resolves:
        job = replace(job, files=jobs.copies(job.snapshot, config, result, job.not_secret, resolved=True))
    return job, [*result.warnings, *jobs.warnings_of_secrets(config, job.not_secret)]


def _other(one: Found, request: Request, tree: Tree) -> dict[str, Any]:
    """The record in plan.json of a config that the user's own program runs."""
    return {
        "name": one.name,
        "config_path": str(one.path),
        "experiment_dir": str(request.base / one.name),
        "program": shown(tree.programs[one.subdir], request.cwd),
    }


def _notices(tree: Tree, sorted_: _Sorted) -> list[str]:
    """Why configs are not run by the training script."""
    notices = []
    if sorted_.bases:
        notices.append(left_out([shown(one.path) for one in sorted_.bases]))
    if sorted_.left_out:
        kinds = Counter((one.subdir, left.trains) for one, left in sorted_.left_out)
        parts = [f"{shown(tree.search.root / subdir)} ({number} of {it})" for (subdir, it), number in kinds.items()]
        first = next(iter(kinds))[0]
        notices.append(f"left out, since they train something else: {', '.join(parts)}; --subdir {first} runs them")
    notices += [f"{subdir} is run by {shown(path)}" for subdir, path in tree.programs.items()]
    return notices


def _renamed(found: Sequence[Found]) -> list[str]:
    """Configs whose stem cannot be the name of their folder, since another one has it."""
    return [
        f"{shown(one.path)} goes to {one.name}: its stem is the name of another folder"
        for one in found
        if Path(one.name).name != one.path.stem
    ]


def _nothing(tree: Tree, sorted_: _Sorted) -> str:
    where = f"--config_root {shown(tree.search.root)}"
    if notices := _notices(tree, sorted_):
        return f"{where}: no config is left to run; {'; '.join(notices)}"
    kinds = ", ".join(tree.search.extensions.split(","))
    inside = f"in {', '.join(tree.search.subdirs)}" if tree.search.subdirs else "in its subdirectories"
    unless = f" that no --ignore excludes ({count(len(tree.search.ignore), 'pattern')})" if tree.search.ignore else ""
    return f"{where}: there is no config ({kinds}) {inside}{unless}; configs belong in config/<subdir>/"
