"""What was typed -> a Plan that can be run, or everything that is wrong with it. Writes nothing but datasets."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from runner.cli import options, preflight
from runner.configs.preparation import preparations, prepare
from runner.configs.scripts import recognize
from runner.core import redact
from runner.core.errors import UserError
from runner.core.job import Plan
from runner.core.text import shown
from runner.planners import command, discovery, files, programs, select, sweep, tree
from runner.planners.command import Command
from runner.planners.jobs import Request

PROJECT = Path(__file__).resolve().parents[2]
OUTPUTS = "outputs"  # where a tree of configs leaves its outputs
OWN_SCRIPTS = ("run_experiments.py", "overnight_plugins.py", "train_run.py", "configurator.py", "train.py", "sample.py")


@dataclass(frozen=True, slots=True)
class Typed:
    """A command line, and what was understood of it. `wrong` are mistakes that were found already."""

    given: Namespace
    overrides: Mapping[str, str]
    arguments: Sequence[str]
    wrong: Sequence[str] = ()


def plan(typed: Typed, before: Plan | None = None) -> Plan:
    """The plan, checked against this machine, its datasets prepared. Raises one UserError with all mistakes.

    `before` is the plan of a sweep that is gone on with, instead of a new one.
    """
    if before is not None:
        typed = _as_begun(typed, before)
    started, problems = _command(typed.given)
    problems = [*typed.wrong, *problems]
    base, misnamed = _base(typed.given)
    problems += misnamed
    found = None
    try:
        problems += recognize(started.script).unmet_requirements()
        found = _planned(typed, started, base, before)
    except UserError as error:
        problems += error.problems
    problems += _device_problems(typed, found, problems)
    option = "--output_root" if typed.given.config_root is not None else "--base_out_dir"
    problems += preflight.disk(base, sum(job.disk_bytes for job in found.jobs) if found else 0, option)
    if found is not None and not problems and not typed.given.dry_run:
        problems += prepare(preparations(found.jobs))  # a download that fails must not fail job by job
    if problems or found is None:
        raise UserError(*dict.fromkeys(problems))
    return found


def earlier(typed: Typed) -> Path | None:
    """The sweep that --exp --resume goes on with: the named one, or the newest of the spec's name if there is any.

    Raises UserError.
    """
    given = typed.given
    base, wrong = _base(given)
    if wrong or typed.wrong:
        raise UserError(*typed.wrong, *wrong)
    if given.resume:
        return select.find(base, given.resume)
    return select.newest_of(base, sweep.name(Path(shown(_spec(given)))))


def _as_begun(typed: Typed, before: Plan) -> Typed:
    """What a sweep was begun with stays, unless it is said anew."""
    given = Namespace(**vars(typed.given))
    if not given.train_script and not given.command and before.jobs[0].script is not None:
        given.train_script = str(before.jobs[0].script)
    elif not given.train_script and not given.command:
        given.command = before.origin.get("command")
    given.mode = given.mode or before.origin.get("mode_typed")
    vars(given).update({**before.origin.get("flags", {}), **options.simulation_flags(given)})
    overrides = {**before.overrides, **typed.overrides}
    if secret := [key for key, text in overrides.items() if text == redact.HIDDEN]:
        raise UserError(*(f"--{key}: it was a secret and was not written down; give it again" for key in secret))
    return replace(typed, given=given, overrides=overrides)


def _spec(given: Namespace) -> Path:
    return Path.cwd() / Path(given.exp).expanduser()


def _planned(typed: Typed, started: Command, base: Path, before: Plan | None) -> Plan:
    given, cwd = typed.given, Path.cwd()
    request = Request(
        overrides=typed.overrides,
        base=base,
        command=started,
        cwd=cwd,
        environ=os.environ,
        resume_args=tuple(shlex.split(given.resume_args or "")),
        options=options.run_options(given),
    )
    now, flags = datetime.now().astimezone(), options.simulation_flags(given)
    if given.exp is not None:
        varied = sweep.Sweep(_spec(given), _again, PROJECT, given.mode, flags)
        if before is not None:
            varied = replace(varied, root=before.root, earlier=before.jobs)
        return sweep.plan(request, varied, now)
    if given.config_root is not None:
        return tree.plan(request, _tree(given, base), now)
    wanted = files.Files(
        patterns=given.configs,
        rerun=lambda config: _rerun(config, typed.arguments),
        name=given.name or "experiment",
        own=[*(PROJECT / name for name in OWN_SCRIPTS), *([started.script] if started.script else [])],
        library=PROJECT / "config",
    )
    return files.plan(replace(request, overrides={**request.overrides, **flags}), wanted, now)


def _tree(given: Namespace, outputs: Path) -> tree.Tree:
    search = discovery.Search(
        Path.cwd() / Path(given.config_root).expanduser(),
        given.extensions if given.extensions is not None else discovery.EXTENSIONS,
        given.ignore or (),
        given.subdir or (),
        outputs,
    )
    return tree.Tree(search, _again, {} if given.subdir else programs.own(_runners(given), discovery.subdirs(search)))


def _runners(given: Namespace) -> Path:
    return Path.cwd() / given.runners if given.runners else PROJECT / "runners"


def invocations(typed: Typed, found: Plan) -> Plan | None:
    """The plan that invokes the programs which subdirectories of a tree have of their own; None if there are none."""
    wanted = _tree(typed.given, found.root).programs if found.kind.name == "tree" else {}
    if not wanted:
        return None
    return programs.plan(wanted, found.root, _flags(typed, found.root), Path.cwd(), datetime.now().astimezone())


def _flags(typed: Typed, root: Path) -> list[str]:
    """What was typed of the options that all runners accept, and the settings."""
    given = vars(typed.given)
    flags = ["--config-root", given["config_root"], "--output-root", shown(root)]
    for name in ("extensions", "max_workers"):
        flags += [f"--{name.replace('_', '-')}", str(given[name])] if given[name] is not None else []
    flags += [word for pattern in given["ignore"] or () for word in ("--ignore", pattern)]
    flags += [f"--{name}" for name in ("rerun", "verbose") if given[name]]
    for key, text in typed.overrides.items():
        flags += [f"--{key.replace('_', '-')}", text] if key in ("device", "export_features") else [f"--{key}={text}"]
    return flags


def _base(given: Namespace) -> tuple[Path, list[str]]:
    """The folder of the batches, and what is wrong with it or with the batch's name."""
    named, option = given.base_out_dir, "--base_out_dir"
    if given.config_root is not None:
        named, option = given.output_root or OUTPUTS, "--output_root"
    wrong = [said] if given.name is not None and (said := files.check_name(given.name)) else []
    try:
        found = Path.cwd() / Path(named).expanduser()
        return found if given.config_root is None else found.resolve(), wrong  # an output root is found again by it
    except RuntimeError as error:  # ~nobody
        cause = str(error).rstrip(".").lower()
        return Path.cwd(), [*wrong, f"{option} {named}: {cause}; type the whole path"]


def _device_problems(typed: Typed, found: Plan | None, problems: Sequence[str]) -> list[str]:
    wanted = {}
    if "device" in typed.overrides and not any(problem.startswith("--device") for problem in problems):
        wanted[typed.overrides["device"]] = f"--device {typed.overrides['device']}"
    if found is not None:
        for job in found.jobs:
            device = job.config.get("device")
            if isinstance(device, str):
                wanted.setdefault(device, f"{found.origin.get('spec', job.source_argument)}: device is {device!r}")
    return preflight.devices(wanted, os.environ)


def _command(given: Namespace) -> tuple[Command, list[str]]:
    """How jobs are started, and what is wrong with it."""
    if given.command:
        wrong = command.errors(given.command)
        return Command(template=() if wrong else tuple(shlex.split(given.command))), wrong
    cwd = Path.cwd()
    try:
        script = cwd / Path(given.train_script).expanduser() if given.train_script else PROJECT / "train_run.py"
        cause = "is a folder; name the script in it" if script.is_dir() else "no such file; check the path"
        wrong = [] if script.is_file() else [f"--train_script {given.train_script}: {cause}"]
    except (OSError, RuntimeError) as error:
        return Command(), [f"--train_script {given.train_script}: {error}; check the path"]
    if not wrong and script.suffix != ".py" and not os.access(script, os.X_OK):
        wrong = [f"--train_script {given.train_script}: cannot be executed; run chmod +x on it"]
    if wrong:
        return Command(), wrong
    return Command(script=script, shown=shown(script, cwd)), []


def _rerun(config: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """The same command line for one config alone."""
    kept: list[str] = []
    inside = False
    for word in arguments:
        if word.startswith("--"):
            name, equals, _ = word.partition("=")
            inside = name == "--configs"
            if inside and not equals:
                continue
        if not inside and word != "--detach":
            kept.append(word)
    return (shown(sys.executable), str(Path(sys.argv[0])), "--configs", config, *kept)


def _again(root: Path, job: str) -> tuple[str, ...]:
    """The command line that runs one job of a batch once more."""
    return (
        shown(sys.executable),
        shown(PROJECT / "run_experiments.py"),
        "rerun",
        shown(root),
        job,
    )
