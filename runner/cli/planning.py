"""Arguments -> a Plan that can be run, or every error in them. Writes nothing."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from runner.cli import batch_folders, preflight, starting
from runner.cli.arguments import Arguments, run_options, simulation_flags
from runner.cli.searching import Searching
from runner.cli.starting import Given
from runner.configs.overrides import underscored
from runner.configs.registry import documented_settings
from runner.configs.scripts import recognize
from runner.configs.training_script import TrainingScript, normalized
from runner.core import program, redact, resume_words
from runner.core.checkout import PROJECT
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.text import shown
from runner.planners import discovery, files, programs, tree
from runner.planners.command import Command
from runner.planners.jobs import Request
from runner.planners.patterns import Search
from runner.planners.template import takes_overrides
from runner.processes import process_id
from runner.slurm import allocation

OUTPUTS = "outputs"  # the default folder for the outputs of a tree of configs
OWN_SCRIPTS = (
    "run_experiments.py", "overnight_plugins.py", "train_run.py", "configurator.py", "train.py", "sample.py",
    "export.py",
)  # fmt: skip


def plan(arguments: Arguments, before: Plan | None = None) -> Plan:
    """The plan, checked against this machine. Raises one UserError with all errors.

    `before` is the plan of a sweep that is resumed, or of a batch that gets more jobs, instead of a new one.
    """
    errors = [*arguments.errors, *resume_words.errors(arguments.given.resume_args or "")]
    base, wrong = _base(arguments.given)
    errors += wrong
    found, recognized = None, None
    try:
        command_, wrong = _command(arguments.given, before)
        errors += [*wrong, *_unreached(arguments, command_)]
        if before is not None:
            arguments = as_planned_before(arguments, before)
        recognized = recognize(command_.script)
        errors += recognized.unmet_requirements() if command_.python is None else []
        found = _planned(arguments, command_, recognized, base, before)
    except UserError as error:
        errors += error.problems
    errors += preflight.plugins(run_options(arguments.given))
    local = (run_options(arguments.given).executor if before is None else before.options.executor) == "local"
    devices = _devices(arguments, found, errors) if local else {}  # else they are those of other machines
    errors += allocation.problems(os.environ) if local else []
    if recognized is not None and recognized.needs_device:
        errors += preflight.devices(devices, os.environ)
    elif found is not None:
        found = replace(found, notices=(*found.notices, *preflight.device_notes(devices, os.environ)))
    if found is not None:
        own = [_default_script_note(arguments.given, found)]
        own += [preflight.environment_note(os.environ)] if _is_of_the_user(command_) else []
        inside = allocation.notes(os.environ, process_id.host()) if local else []
        found = replace(found, notices=(*filter(None, own), *inside, *found.notices))
    option = "--output_root" if arguments.given.config_root is not None else "--base_out_dir"
    errors += preflight.disk(base, sum(job.disk_bytes for job in found.jobs) if found else 0, option)
    if errors or found is None:
        raise UserError(*dict.fromkeys(errors))
    return found


def _is_of_the_user(started: Command) -> bool:
    """True for a script that is not of this checkout, and for which no Python is named."""
    script = started.script
    named = started.python or started.launcher or started.template
    return script is not None and script.suffix == ".py" and not named and not script.is_relative_to(PROJECT)


def _default_script_note(given: Namespace, found: Plan) -> str:
    """A note for users who stand in a project of their own: none of their scripts was named."""
    is_default = any(job.script == starting.DEFAULT_SCRIPT for job in found.jobs) and not given.train_script
    if not is_default or not starting.DEFAULT_SCRIPT.is_file() or Path.cwd().is_relative_to(PROJECT):
        return ""
    name = Path(starting.DEFAULT_SCRIPT.name)
    if name.exists() and name.samefile(starting.DEFAULT_SCRIPT):
        return ""
    return f"no training script is named, so {starting.DEFAULT_SCRIPT} is run; for your own give --train_script PATH"


def earlier(arguments: Arguments) -> Path | None:
    """The sweep that --exp --resume continues: the named one, or the latest of the spec's name if there is one.

    Raises UserError.
    """
    given = arguments.given
    base, wrong = _base(given)
    if wrong or arguments.errors:
        raise UserError(*arguments.errors, *wrong)
    if given.resume:
        return batch_folders.find(base, given.resume)
    return batch_folders.latest_of(base, _sweeps().name(Path(shown(_spec(given)))))


def as_planned_before(arguments: Arguments, before: Plan) -> Arguments:
    """The arguments that a sweep or a batch was started with, unless they are given again."""
    given = Namespace(**vars(arguments.given))
    if not any(getattr(given, key) for key in ("train_script", "module", "command", "resume_args")):
        given.resume_args = shlex.join(before.jobs[0].resume_args)
    given.not_secret = [*before.options.not_secret, *(given.not_secret or [])]
    given.mode = given.mode or before.origin.get("mode_typed")
    given.search = [*before.origin.get("search_given", ()), *(given.search or ())]
    vars(given).update({**before.origin.get("flags", {}), **simulation_flags(given)})
    again = {underscored(key) for key in arguments.overrides}
    kept = {key: text for key, text in before.overrides.items() if underscored(key) not in again}
    overrides = {**kept, **arguments.overrides}
    if secret := [key for key, text in overrides.items() if text == redact.REDACTED]:
        raise UserError(*(f"--{key}: it was a secret and was not written down; give it again" for key in secret))
    return replace(arguments, given=given, overrides=overrides)


def _sweeps() -> Any:  # a module
    """The planner of sweeps."""
    from runner.planners import sweep  # a fifth of a second for pydantic, which only sweeps need

    return sweep


def _spec(given: Namespace) -> Path:
    return Path.cwd() / Path(given.exp).expanduser()


def _planned(arguments: Arguments, started: Command, script: TrainingScript, base: Path, before: Plan | None) -> Plan:
    given, cwd = arguments.given, Path.cwd()
    request = Request(
        overrides=arguments.overrides if script.exact_keys else normalized(arguments.overrides),
        base=base,
        command=started,
        cwd=cwd,
        environ=os.environ,
        resume_args=resume_words.split(given.resume_args or ""),
        options=run_options(given) if before is None else before.options,
    )
    now, flags = datetime.now().astimezone(), simulation_flags(given)
    if given.exp is not None:
        sweep = _sweeps()
        varied = sweep.Sweep(_spec(given), _again, PROJECT, given.mode, flags, search=given.search or ())
        if before is not None:
            varied = replace(varied, root=before.root, earlier=before.jobs)
        planned: Plan = sweep.plan(request, varied, now)
        return planned
    if given.config_root is not None:
        return tree.plan(request, _tree(given, base), now)
    with Searching() as searching:
        requested = files.Files(
            patterns=given.configs,
            search=Search(
                cwd=cwd,
                own=[*(PROJECT / name for name in OWN_SCRIPTS), *([started.script] if started.script else [])],
                library=PROJECT / "config",
                exclude=given.exclude or (),
                visit=searching,
            ),
            rerun=_rerun(arguments.words),
            name=given.name or "experiment",
            arguments=_without_configs(arguments.words),
            before=before,
            progress=searching.planned,
        )
        return files.plan(replace(request, overrides={**request.overrides, **flags}), requested, now)


def _tree(given: Namespace, outputs: Path) -> tree.Tree:
    search = discovery.Search(
        Path.cwd() / Path(given.config_root).expanduser(),
        given.extensions if given.extensions is not None else discovery.EXTENSIONS,
        given.exclude or (),
        given.subdir or (),
        outputs,
    )
    return tree.Tree(search, _again, {} if given.subdir else programs.own(_runners(given), discovery.subdirs(search)))


def _runners(given: Namespace) -> Path:
    return Path.cwd() / given.runners if given.runners else PROJECT / "runners"


def invocations(arguments: Arguments, found: Plan) -> Plan | None:
    """The plan that invokes the programs which subdirectories of a tree have of their own; None if there are none."""
    own = own_programs(arguments) if found.kind.name == "tree" else {}
    if not own:
        return None
    return programs.plan(own, found.root, _flags(arguments, found.root), Path.cwd(), datetime.now().astimezone())


def own_programs(arguments: Arguments) -> Mapping[str, Path]:
    """Subdirectory -> the program that the user has for it."""
    return _tree(arguments.given, _base(arguments.given)[0]).programs


def _flags(arguments: Arguments, root: Path) -> list[str]:
    """The given options that all runners accept, and the overrides."""
    given, documented = vars(arguments.given), documented_settings()
    flags = ["--config-root", given["config_root"], "--output-root", shown(root)]
    for name in ("extensions", "max_workers"):
        flags += [f"--{name.replace('_', '-')}", str(given[name])] if given[name] is not None else []
    flags += [word for pattern in given["exclude"] or () for word in ("--ignore", pattern)]
    flags += [f"--{name}" for name in ("rerun", "verbose") if given[name]]
    for key, text in arguments.overrides.items():
        setting = documented.get(underscored(key))
        of_trees = setting is not None and setting.of_trees
        flags += [f"--{key.replace('_', '-')}", text] if of_trees else [f"--{key}={text}"]
    return flags


def _base(given: Namespace) -> tuple[Path, list[str]]:
    """The folder of the batches, and the errors about it or about the batch's name."""
    named, option = given.base_out_dir, "--base_out_dir"
    if given.config_root is not None:
        named, option = given.output_root or OUTPUTS, "--output_root"
    wrong = [error] if given.name is not None and (error := files.check_name(given.name)) else []
    try:
        found = Path.cwd() / Path(named).expanduser()
        return found if given.config_root is None else found.resolve(), wrong  # an output root is found again by it
    except RuntimeError as error:  # ~unknown_user
        cause = str(error).rstrip(".").lower()
        return Path.cwd(), [*wrong, f"{option} {named}: {cause}; give the whole path"]


def _devices(arguments: Arguments, found: Plan | None, errors: Sequence[str]) -> dict[str, str]:
    """The devices of the jobs -> the place that names each: the option or the config."""
    requested = {}
    if "device" in arguments.overrides and not any(error.startswith("--device") for error in errors):
        requested[arguments.overrides["device"]] = f"--device {arguments.overrides['device']}"
    if found is not None:
        for job in found.jobs:
            device = job.config.get("device")
            if isinstance(device, str):
                place = found.origin.get("spec") or (job.source and shown(job.source))
                requested.setdefault(device, f"{place}: device is {device!r}")
    return requested


def command_of(arguments: Arguments, before: Plan) -> Command:
    """How these arguments start the jobs of a batch. Raises UserError."""
    found, errors = _command(arguments.given, before)
    if errors:
        raise UserError(*errors)
    return found


def _command(given: Namespace, before: Plan | None) -> tuple[Command, list[str]]:
    """How jobs are started, and the errors about it. Raises UserError."""
    line = starting.given(given, Path.cwd())
    in_spec = given.exp is not None
    whole = starting.combined(line, starting.of_spec(Path(shown(_spec(given))), line.cwd)) if in_spec else line
    return starting.start(whole if before is None else _as_started_before(whole, before))


def _as_started_before(now: Given, before: Plan) -> Given:
    """What is given now, and what the batch was started with where that is not given again."""
    script = before.jobs[0].script
    recorded = {key: before.origin.get(key) for key in starting.KEYS}
    if script is not None and recorded["module"] is None:
        recorded["train_script"] = str(script)
    named = {"train_script", "module", "command"}
    for key in named if named & now.values.keys() else ():
        recorded[key] = None
    if "command" in now.values:
        recorded["launcher"] = None
    values = {key: text for key, text in recorded.items() if text and key not in now.values}
    if lost := [key for key, text in values.items() if redact.unrecorded([text])]:
        raise UserError(*(f"--{key}: it held a secret, which was not written down; give it again" for key in lost))
    return replace(now, values={**values, **now.values}, places={**{key: f"--{key}" for key in values}, **now.places})


def _unreached(arguments: Arguments, started: Command) -> list[str]:
    """Errors for settings that a template would leave out."""
    if not started.template or takes_overrides(started.template):
        return []
    cause = "the --command has no {overrides}, so it would not reach the job; add {overrides} to it"
    return [f"--{key}: {cause}" for key in {**arguments.overrides, **simulation_flags(arguments.given)}]


def _rerun(arguments: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """The same command line for one config alone."""
    begin, rest = program.words(), _without_configs(arguments)
    return lambda config: (*begin, "--configs", config, *rest)


def _without_configs(words: Sequence[str]) -> list[str]:
    """The words of a command line without its configs, and without --detach."""
    kept: list[str] = []
    inside = False
    for word in words:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            inside = name in ("--configs", "--exclude", "--ignore")
            if inside and not equals:
                continue
        if not inside and word != "--detach":
            kept.append(word)
    return kept


def _again(root: Path, job: str) -> tuple[str, ...]:
    """The command line that runs one job of a batch again."""
    return (*program.words(), "rerun", shown(root), job)
