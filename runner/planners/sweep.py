"""A sweep spec -> a Plan: one job for each run of the grid, each with its resolved config as a file. Pure."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.configs import scripts, yamlfile
from runner.configs.config_file import ConfigFile
from runner.configs.messages import Origin
from runner.configs.scripts import Checked
from runner.core import clock, redact
from runner.core.canonical import canonical
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import count, shown
from runner.disk import layout
from runner.planners import jobs, sweep_runs, sweep_spec
from runner.planners.grid import twins
from runner.planners.jobs import Request, free_folder
from runner.planners.sweep_spec import Spec

KIND = PlanKind("spec", views=("summary", "experiment"), listing="comparison", stop_by="run_background.py")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which spec, and what of it is said on the command line: another mode, flags of a simulation. `home` is the
    project; `root` and `earlier` are the folder and the jobs of an experiment that is gone on with; `rerun` builds the
    command line that runs one job once more."""

    spec: Path
    rerun: Callable[[Path, str], tuple[str, ...]]
    home: Path
    mode: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    earlier: Sequence[Job] = ()


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A run before it has a name: the config file that will be written, and what the script makes of it."""

    config: ConfigFile
    suffix: str
    checked: Checked


def name(path: Path) -> str:
    """The name that a spec gives its experiment. Raises UserError."""
    return sweep_spec.read(path)[0].name


def plan(request: Request, sweep: Sweep, now: datetime) -> Plan:
    """The plan for a spec: the whole grid, expanded and checked. Raises UserError with everything that is wrong."""
    spec, file = sweep_spec.read(Path(shown(sweep.spec, request.cwd)))
    mode = sweep.mode or spec.mode
    root = sweep.root or free_folder(request.base, f"{spec.name}_{now:%Y%m%d_%H%M%S}")
    problems = list(_overridden(spec, request))
    resolved: list[_Resolved] = []
    for run in sweep_runs.of(spec, file, request.command.script, request.cwd, sweep.home):
        try:
            merged = sweep_runs.in_mode(
                request.command.script, run, mode, "--mode" if sweep.mode else file.place("mode")
            )
            resolved.append(_resolved(request, run.base, merged, sweep.flags if mode == "simulation" else {}))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*sorted(dict.fromkeys(problems), key=Origin(file, {}).order))
    names = _names([one.checked.config for one in resolved], sweep.earlier)
    planned = [_job(request, sweep, root, name, one) for name, one in zip(names, resolved, strict=True)]
    return Plan(
        name=root.name,
        root=root,
        jobs=tuple(planned),
        kind=KIND,
        created_at=clock.iso(now.timestamp()),
        overrides=redact.mapping(request.overrides),
        notices=(*_notes(spec, sweep, mode), *_twins(planned), *_unread(spec, planned)),
        options=request.options,
        origin={
            "experiment": spec.name,
            "spec": shown(sweep.spec, request.cwd),
            "mode": mode,
            "mode_typed": sweep.mode,  # on the command line, as the flags
            "flags": dict(sweep.flags),
            "command": shlex.join(redact.argv(request.command.template)) or None,
        },
        files={layout.SPEC: file.source} | {_placed(job, root): job.files[str(job.snapshot)] for job in planned},
    )


def _overridden(spec: Spec, request: Request) -> list[str]:
    """What the command line sets for all runs although the spec varies it."""
    given = {key.replace("-", "_") for key in request.overrides}
    varied = [key for key in {**spec.sweep, **spec.zip} if key in given]
    return [f"--{key}: the spec varies {key}; change it there, or leave this out" for key in varied]


def _resolved(request: Request, base: ConfigFile, merged: ConfigFile, flags: Mapping[str, str]) -> _Resolved:
    """The config of a run, written out in full, so that it is the exact input and nothing hides in a command line.

    Of a script whose settings we do not know the file holds what base and spec say, and overrides stay on its line.
    """
    script = request.command.script
    whole = scripts.check(script, merged, request.overrides)
    ours = scripts.is_ours(script)
    values = {key: value for key, value in (whole.config if ours else merged.values).items() if key != "out_dir"}
    suffix = ".py" if base.path.suffix == ".py" and not ours else ".yaml"
    origins = {key: merged.place(key) for key in values}
    config = ConfigFile(merged.path, _written(values, suffix, base.path), values, {}, origins)
    checked = scripts.check(script, config, {**flags} if ours else {**request.overrides, **flags})
    changes = {key: (base.values.get(key), values[key]) for key in (*merged.origins, *whole.overrides) if key in values}
    changes = {key: (old, new) for key, (old, new) in changes.items() if repr(old) != repr(new)}
    return _Resolved(config, suffix, replace(checked, changes=changes))


def _job(request: Request, sweep: Sweep, root: Path, name: str, run: _Resolved) -> Job:
    source = root / layout.CONFIGS / f"{name}{run.suffix}"
    return jobs.job(request, root, name, run.config, run.checked, source, sweep.rerun(root, name))


def _names(configs: Sequence[Mapping[str, Any]], earlier: Sequence[Job]) -> list[str]:
    """run_000, run_001, …; a run that an earlier plan had keeps its name, and takes its results along.

    Other runs take the names that are left over, in order, and then new ones.
    """
    known: defaultdict[str, list[str]] = defaultdict(list)
    for job in earlier:
        known[canonical(job.config)].append(job.name)
    keys = [canonical(redact.mapping(config)) for config in configs]
    kept = [known[key].pop(0) if known[key] else None for key in keys]
    taken = {name for name in kept if name is not None}
    left = [job.name for job in earlier if job.name not in taken]
    fresh = iter(left + [f"run_{number:03d}" for number in range(len(earlier), len(earlier) + len(configs))])
    return [name if name is not None else next(fresh) for name in kept]


def _written(values: Mapping[str, Any], suffix: str, base: Path) -> bytes:
    """A config file that holds `values`, and says where they come from."""
    origin = f"# from {shown(base)}\n".encode(errors="backslashreplace")
    if suffix == ".yaml":
        return origin + yamlfile.write(dict(values)).encode()
    return origin + "".join(f"{key} = {_python(value)}\n" for key, value in values.items()).encode()


def _python(value: Any) -> str:
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _placed(job: Job, root: Path) -> str:
    """Where in the batch folder a job's config stands."""
    assert job.source is not None
    return str(job.source.relative_to(root))


def _notes(spec: Spec, sweep: Sweep, mode: str) -> list[str]:
    notes = []
    if mode != spec.mode:
        notes.append(f"mode is {mode}, as the command line says; the spec says {spec.mode}")
    if sweep.flags and mode != "simulation":
        said = ", ".join(f"--{flag}" for flag in sweep.flags)
        notes.append(f"{said}: left out, since it says something in mode simulation only")
    return notes


def _twins(planned: Sequence[Job]) -> list[str]:
    same = twins([dict(job.config) for job in planned])
    pairs = [f"{planned[later].name} repeats {planned[earlier].name}" for later, earlier in same.items()]
    if not pairs:
        return []
    more = f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
    return [f"{count(len(pairs), 'run')} with settings that another one has already: {', '.join(pairs[:5])}{more}"]


def _unread(spec: Spec, planned: Sequence[Job]) -> list[str]:
    """Settings that the spec varies for runs that do not read them."""
    notes = []
    for key in {**spec.sweep, **spec.zip}:
        idle = [job.name for job in planned if key in scripts.unread(job.script, job.config)]
        if idle:
            more = f" and {len(idle) - 3} more" if len(idle) > 3 else ""
            notes.append(f"{key} is varied, but is not read by {', '.join(idle[:3])}{more}")
    return notes
