"""A tree of configs -> a Plan: config/<subdir>/…/x.yaml runs in outputs/<subdir>/…/x/. Pure.

Not to be mixed up with runner/processes/process_tree.py, which knows trees of processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.configs import scripts
from runner.configs.config_file import ConfigFile
from runner.core import clock, redact
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import count, shown
from runner.planners import jobs
from runner.planners.discovery import Found, Search, discover
from runner.planners.jobs import Request

KIND = PlanKind("tree", stop_by="folder", keeps_resolved=True)
PIPELINE = "robustness"  # what a tree of configs is for, where its subdirectories are not named
SUBDIRS = ("IMAGE", "TABULAR", "VECTOR")  # of these every config is meant for that pipeline
MODELS = {"IMAGE": "CNN"}
OTHERWISE = "MLP"


@dataclass(frozen=True, slots=True)
class Tree:
    """Which configs. `programs` run a subdirectory instead of us; `rerun` builds the command line that runs one job of
    the output root once more."""

    search: Search
    rerun: Callable[[Path, str], tuple[str, ...]]
    programs: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Sorted:
    """What became of the configs that were found."""

    jobs: list[Job]
    others: list[Found]  # configs of subdirectories that have a program of their own
    abstract: list[Found]
    foreign: list[tuple[Found, str]]  # configs of another pipeline, and which
    notices: list[str]


def plan(request: Request, tree: Tree, now: datetime) -> Plan:
    """The plan for all configs of the tree; `request.base` is the output root. Raises UserError with all mistakes."""
    found = discover(tree.search)
    sorted_, problems = _sort(request, tree, found)
    if problems:
        raise UserError(*dict.fromkeys(problems))
    if not sorted_.jobs and not sorted_.others:
        raise UserError(_nothing(tree, sorted_))
    return Plan(
        name=request.base.name,
        root=request.base,
        jobs=tuple(sorted_.jobs),
        kind=KIND,
        created_at=clock.iso(now.timestamp()),
        overrides=redact.mapping(request.overrides),
        notices=(*_left_out(tree, sorted_), *_renamed(found), *dict.fromkeys(sorted_.notices)),
        options=request.options,
        origin={
            "config_root": str(tree.search.root),
            "others": [_other(one, request, tree) for one in sorted_.others],
        },
    )


def joined(now: Plan, before: Plan) -> Plan:
    """`now`, and the jobs of earlier calls for this output root that are not planned anew, as they were.

    So there is one record of all that was run there, whichever subdirectories are run this time. A job whose config is
    gone leaves the record; its folder stays.
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
    return replace(now, jobs=(*now.jobs, *kept), origin=origin)


def _sort(request: Request, tree: Tree, found: Sequence[Found]) -> tuple[_Sorted, list[str]]:
    sorted_ = _Sorted([], [], [], [], [])
    problems: list[str] = []
    script = request.command.script
    for one in found:
        if one.subdir in tree.programs:
            sorted_.others.append(one)
            continue
        try:
            config = scripts.read(script, Path(shown(one.path, request.cwd)))
            if config.abstract:
                sorted_.abstract.append(one)
            elif (other := _another_pipeline(request, tree, one, config)) is not None:
                sorted_.foreign.append((one, other))
            else:
                job, warnings = _job(request, tree, one, config)
                sorted_.jobs.append(job)
                sorted_.notices.extend(warnings)
        except UserError as error:
            problems += error.problems
    return sorted_, problems


def _another_pipeline(request: Request, tree: Tree, one: Found, config: ConfigFile) -> str | None:
    """What a config trains that was not asked for: without names of subdirectories only PIPELINE is meant."""
    if tree.search.subdirs or not scripts.is_ours(request.command.script):
        return None
    trains = scripts.pipeline(config, _meant(request, one, config))
    return None if trains == PIPELINE else trains


def _meant(request: Request, one: Found, config: ConfigFile) -> dict[str, str]:
    """The overrides; and the pipeline of a subdirectory whose configs need not name it."""
    if one.subdir in SUBDIRS and "pipeline" not in {*config.values, *request.overrides}:
        return {"pipeline": PIPELINE, **request.overrides}
    return dict(request.overrides)


def _job(request: Request, tree: Tree, one: Found, config: ConfigFile) -> tuple[Job, Sequence[str]]:
    script, overrides = request.command.script, dict(request.overrides)
    if scripts.is_ours(script):
        overrides = _meant(request, one, config)
        defaults = {"dataset_name": one.subdir, "model_name": MODELS.get(one.subdir, OTHERWISE)}
        overrides = {**scripts.fitting(config, overrides, defaults), **overrides}
    checked = scripts.check(script, config, overrides)
    job = jobs.job(request, request.base, one.name, config, checked, one.path, tree.rerun(request.base, one.name))
    if job.snapshot is None or not scripts.is_ours(script):
        return job, checked.warnings
    return replace(job, files=jobs.copies(job.snapshot, config, checked, resolved=True)), checked.warnings


def _other(one: Found, request: Request, tree: Tree) -> dict[str, Any]:
    """What is known of a config that a program of the user's own runs."""
    return {
        "name": one.name,
        "config_path": str(one.path),
        "experiment_dir": str(request.base / one.name),
        "program": shown(tree.programs[one.subdir], request.cwd),
    }


def _left_out(tree: Tree, sorted_: _Sorted) -> list[str]:
    notices = []
    if sorted_.abstract:
        names = ", ".join(shown(one.path) for one in sorted_.abstract)
        notices.append(f"left out, since abstract: true says that they are there to be built on: {names}")
    if sorted_.foreign:
        kinds = Counter((one.subdir, pipeline) for one, pipeline in sorted_.foreign)
        said = [f"{shown(tree.search.root / subdir)} ({number} of {it})" for (subdir, it), number in kinds.items()]
        first = next(iter(kinds))[0]
        notices.append(f"left out, since they train something else: {', '.join(said)}; --subdir {first} runs them")
    notices += [f"{subdir} is run by {shown(path)}" for subdir, path in tree.programs.items()]
    return notices


def _renamed(found: Sequence[Found]) -> list[str]:
    """Configs whose stem is no name for their folder, since another one has it."""
    return [
        f"{shown(one.path)} goes to {one.name}: its stem is the name of another folder"
        for one in found
        if Path(one.name).name != one.path.stem
    ]


def _nothing(tree: Tree, sorted_: _Sorted) -> str:
    where = f"--config_root {shown(tree.search.root)}"
    if left_out := _left_out(tree, sorted_):
        return f"{where}: no config is left to be run; {'; '.join(left_out)}"
    kinds = ", ".join(tree.search.extensions.split(","))
    inside = f"in {', '.join(tree.search.subdirs)}" if tree.search.subdirs else "in its subdirectories"
    unless = f" that no --ignore excludes ({count(len(tree.search.ignore), 'pattern')})" if tree.search.ignore else ""
    return f"{where}: there is no config ({kinds}) {inside}{unless}; configs stand in config/<subdir>/"
