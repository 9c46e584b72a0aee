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

from runner.configs import reading, yamlfile
from runner.configs.config_file import ConfigFile, kind
from runner.configs.messages import Origin
from runner.configs.overrides import found, underscored
from runner.configs.scripts import recognize
from runner.configs.training_script import Checked, TrainingScript, accepted
from runner.core import clock, earlier_redaction, redact
from runner.core.canonical import canonical
from runner.core.errors import UserError
from runner.core.job import Job, Plan
from runner.core.plan_kind import PlanKind
from runner.core.text import count, listed, shown
from runner.disk import layout
from runner.planners import jobs, search_spec, sweep_runs, sweep_spec
from runner.planners import search as searches
from runner.planners.changes import pinned
from runner.planners.command import Command
from runner.planners.grid import duplicates
from runner.planners.jobs import Request, free_folder
from runner.planners.nested_keys import top
from runner.planners.sweep_runs import Run
from runner.planners.sweep_spec import Spec
from runner.search.space import Search

KIND = PlanKind("spec", views=("summary", "experiment"), listing="comparison", stop_by="run_background.py")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Which spec, and the arguments about it: another mode, flags of a simulation. `home` is the project; `root` and
    `earlier` are the folder and the jobs of an experiment that is resumed; `rerun` builds the command line that runs
    one job again."""

    spec: Path
    rerun: Callable[[Path, str], tuple[str, ...]]
    home: Path
    mode: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    earlier: Sequence[Job] = ()
    search: Sequence[str] = ()  # keys of a search, as they were given beside the spec


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A run before it has a name: the config file that will be written, and what the script makes of it."""

    base: ConfigFile
    merged: ConfigFile
    config: ConfigFile
    suffix: str
    checked: Checked


def name(path: Path) -> str:
    """The name that a spec gives its experiment. Raises UserError."""
    return sweep_spec.read(path)[0].name


def plan(request: Request, sweep: Sweep, now: datetime) -> Plan:
    """The plan for a spec: the whole grid, expanded and checked. Raises UserError with every error."""
    spec, file = sweep_spec.read(Path(shown(sweep.spec, request.cwd)), sweep.search)
    jobs.refuse_secrets(file, request.options.not_secret, ("fixed_overrides", "sweep", "search"))
    source, search, spec, file = file.source, *_first_trial(spec, file)
    mode = sweep.mode or spec.mode
    root = sweep.root or free_folder(request.base, f"{spec.name}_{now:%Y%m%d_%H%M%S}")
    script = recognize(request.command.script)
    flags = sweep.flags if mode == "simulation" else {}
    errors = list(_overridden(spec, request))
    runs = sweep_runs.expand(spec, file, script, request.cwd, sweep.home, request.options.config_timeout)
    errors += sweep_runs.unknown(spec, file, script, request.command.shown, runs)
    resolved: list[_Resolved] = []
    for run in runs:
        try:
            place = "--mode" if sweep.mode else file.place("mode")
            merged = sweep_runs.in_mode(
                script, run, mode, place, given=sweep.mode is not None or "mode" in spec.model_fields_set
            )
            resolved.append(_resolve(request, script, run.base, merged, flags))
        except UserError as error:
            errors += error.problems
    if errors:
        raise UserError(*sorted(dict.fromkeys(errors), key=Origin(file, {}).order))
    if search is not None:
        resolved = resolved[:1]  # the others were checked only
    names = _names([one.checked for one in resolved], sweep.earlier, request.options.not_secret)
    names = names if search is None else [searches.FIRST]
    resolved = _pinned(request, script, flags, dict(zip(names, resolved, strict=True)), sweep.earlier)
    doubts = dict.fromkeys(
        line for one in resolved for line in jobs.warnings_of_secrets(one.config, request.options.not_secret)
    )
    planned = [_job(request, sweep, root, name, one) for name, one in zip(names, resolved, strict=True)]
    if search is not None:
        planned = [searches.recorded(planned[0], search)]
    return Plan(
        name=root.name,
        root=root,
        jobs=tuple(planned),
        kind=KIND if search is None else searches.KIND,
        created_at=clock.iso(now.timestamp()),
        overrides=redact.mapping(request.overrides, request.options.not_secret),
        notices=(
            *_notes(spec, sweep, mode),
            *_volatile(runs),
            *_duplicates(planned),
            *_unread(spec, script, planned),
            *doubts,
        ),
        options=request.options,
        origin={
            "experiment": spec.name,
            "spec": shown(sweep.spec, request.cwd),
            "mode": mode,
            "mode_typed": sweep.mode,  # the key of version 0.1.0; from the command line, as the flags
            "flags": dict(sweep.flags),
            **_started(request.command, request.options.not_secret),
            **({} if search is None else {"search": search.to_json(), "search_given": list(sweep.search)}),
        },
        files={layout.SPEC: source} | {_placed(job, root): job.files[str(job.snapshot)] for job in planned},
    )


def _first_trial(spec: Spec, file: ConfigFile) -> tuple[Search | None, Spec, ConfigFile]:
    """The spec of a search as that of a sweep: its first trial is the first run, and what is checked are the others."""
    if spec.search is None:
        return None, spec, file
    search = search_spec.search(file.values["search"])
    first = searches.first_settings(search)
    others = searches.probes(search, first)
    swept = {"sweep": {key: [value] for key, value in first.items()}, "include": others}
    return search, spec.model_copy(update=swept), searches.located(file, search, len(others))


def _started(command: Command, shown_names: Sequence[str]) -> dict[str, str | None]:
    """What a resumed experiment has to know of its program, beside the script of each job."""
    return {
        "command": shlex.join(redact.argv(command.template, shown_names)) or None,
        "module": command.module,
        "launcher": shlex.join(redact.argv(command.launcher, shown_names)) or None,
        "python": str(command.python) if command.python else None,
    }


def _overridden(spec: Spec, request: Request) -> list[str]:
    """Errors for keys that the command line sets for all runs although the spec varies them."""
    given = {underscored(key) for key in request.overrides}
    varied = [key for key in {**spec.sweep, **spec.zip} if underscored(key) in given]
    return [f"--{key}: the spec varies {key}; change it there, or leave this out" for key in varied]


def _resolve(
    request: Request, script: TrainingScript, base: ConfigFile, merged: ConfigFile, flags: Mapping[str, str]
) -> _Resolved:
    """The config of a run, written out in full, so that it is the exact input and nothing hides in a command line.

    Of a script whose settings are not all known, the file holds the values of base and spec, and overrides stay on its
    command line.
    """
    full = accepted(script, merged, request.overrides)
    source = full.config if script.resolves else merged.values
    values = {key: value for key, value in source.items() if key != "out_dir"}
    suffix = ".py" if kind(base.path) == ".py" and not script.resolves else ".yaml"
    origins = {key: merged.place(key) for key in values}
    config = ConfigFile(merged.path, _written(values, suffix, base.path), values, {}, origins)
    checked = accepted(script, config, flags if script.resolves else {**request.overrides, **flags})
    changes = {key: (found(key, base.values), found(key, values)) for key in (*merged.origins, *full.overrides)}
    changes = {key: (old, new) for key, (old, new) in changes.items() if repr(old) != repr(new)}
    volatile = tuple(key for key in merged.volatile if key not in full.overrides)
    return _Resolved(base, merged, config, suffix, replace(checked, changes=changes, volatile=volatile))


def _pinned(
    request: Request,
    script: TrainingScript,
    flags: Mapping[str, str],
    resolved: Mapping[str, _Resolved],
    earlier: Sequence[Job],
) -> list[_Resolved]:
    """The runs; one that an earlier plan had keeps the values that are others at each evaluation of its base."""
    before = {job.name: job for job in earlier}
    runs = []
    for name, run in resolved.items():
        merged = pinned(run.merged, before[name]) if name in before else run.merged
        same = merged is run.merged
        runs.append(run if same else _resolve(request, script, run.base, merged, flags))
    return runs


def _job(request: Request, sweep: Sweep, root: Path, name: str, run: _Resolved) -> Job:
    source = root / layout.CONFIGS / f"{name}{run.suffix}"
    return jobs.job(request, root, name, run.config, run.checked, source, sweep.rerun(root, name))


def _names(runs: Sequence[Checked], earlier: Sequence[Job], shown: Sequence[str]) -> list[str]:
    """run_000, run_001, …; a run that an earlier plan had keeps its name, and so its results.

    Other runs get the remaining names, one after another, and then new ones.
    """
    known: defaultdict[str, list[str]] = defaultdict(list)
    for job in earlier:
        known[_key(job.config, job.volatile)].append(job.name)
    kept: list[str | None] = []
    for run in runs:
        config = run.config
        forms = (redact.mapping(config, shown), config, earlier_redaction.mapping(config))  # as it may be recorded
        names = next((names for form in forms if (names := known[_key(form, run.volatile)])), None)
        kept.append(names.pop(0) if names else None)
    taken = {name for name in kept if name is not None}
    left = [job.name for job in earlier if job.name not in taken]
    fresh = iter(left + [f"run_{number:03d}" for number in range(len(earlier), len(earlier) + len(runs))])
    return [name if name is not None else next(fresh) for name in kept]


def _key(config: Mapping[str, Any], volatile: Sequence[str]) -> str:
    """Equal for runs that do the same work."""
    return canonical({key: value for key, value in config.items() if key not in volatile})


def _written(values: Mapping[str, Any], suffix: str, base: Path) -> bytes:
    """A config file that holds `values`, with a line on where they come from."""
    origin = f"# from {shown(base)}\n".encode(errors="backslashreplace")
    if suffix == ".yaml":
        return origin + yamlfile.write(dict(values)).encode()
    return origin + "".join(f"{key} = {_python(value)}\n" for key, value in values.items()).encode()


def _python(value: Any) -> str:
    return f"float('{value}')" if isinstance(value, float) and not math.isfinite(value) else repr(value)


def _placed(job: Job, root: Path) -> str:
    """Where in the batch folder a job's config is."""
    assert job.source is not None
    return str(job.source.relative_to(root))


def _notes(spec: Spec, sweep: Sweep, mode: str) -> list[str]:
    notes = []
    if "mode" in spec.model_fields_set and mode != spec.mode:
        notes.append(f"mode is {mode}, from the command line; the spec has {spec.mode}")
    if sweep.flags and mode != "simulation":
        given = ", ".join(f"--{flag}" for flag in sweep.flags)
        notes.append(f"{given}: left out, since it is used in mode simulation only")
    return notes


def _volatile(runs: Sequence[Run]) -> list[str]:
    """A note on each base whose evaluation has another result each time: the spec's runs share one of them."""
    bases = {run.base.path: run.base for run in runs if run.merged.volatile}
    return reading.drawn(list(bases.values()), (), "each run gets what is recorded")


def _duplicates(planned: Sequence[Job]) -> list[str]:
    same = duplicates([dict(job.config) for job in planned])
    pairs = [f"{planned[later].name} repeats {planned[earlier].name}" for later, earlier in same.items()]
    if not pairs:
        return []
    return [f"{count(len(pairs), 'run')} with settings that another one has already: {listed(pairs, 5)}"]


def _unread(spec: Spec, script: TrainingScript, planned: Sequence[Job]) -> list[str]:
    """Settings that the spec varies for runs that do not read them."""
    return [
        f"{key} is varied, but is not read by {listed(idle, 3)}"
        for key in {**spec.sweep, **spec.zip}
        if (idle := [job.name for job in planned if top(key) in script.unread(job.config)])
    ]
