"""Arguments, or keys of a sweep's spec -> how jobs are started, or the errors in that. Starts nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from runner.configs import config_file
from runner.configs.scripts import recognize
from runner.configs.unknown_script import UnknownScript
from runner.core import program
from runner.core.checkout import PROJECT
from runner.core.errors import UserError
from runner.core.text import shown
from runner.planners import command, executables, launchers, template
from runner.planners.command import Command

DEFAULT_SCRIPT = PROJECT / "train_run.py"
KEYS = ("train_script", "module", "command", "launcher", "python")  # of the command line; a spec may have them too
SHELL = (".sh", ".bash")
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True, slots=True)
class Given:
    """What is given of KEYS, and for each the place that errors name. `beside`: a further folder for relative paths.
    `configs`: what is to be run."""

    values: Mapping[str, str]
    places: Mapping[str, str]
    cwd: Path
    beside: Path | None = None
    configs: tuple[str, ...] = ()

    def path(self, key: str) -> Path:
        """A path in the current folder or, if it is not there, beside the spec. Raises OSError or RuntimeError."""
        named = Path(self.values[key]).expanduser()
        places = [self.cwd / named, *([self.beside / named] if self.beside else [])]
        return next((place for place in places if place.exists()), places[0])


def given(arguments: Namespace, cwd: Path) -> Given:
    """What the command line gives."""
    values = {key: value for key in KEYS if (value := getattr(arguments, key))}
    return Given(values, {key: f"--{key}" for key in values}, cwd, configs=tuple(arguments.configs or ()))


def of_spec(path: Path, cwd: Path) -> Given:
    """What a sweep's spec gives; its other keys are checked when it is planned. Raises UserError."""
    file = config_file.read(path)
    values = {key: text for key in KEYS if isinstance(text := file.values.get(key), str)}
    return Given(values, {key: f"{file.place(key)}: {key}" for key in values}, cwd, (cwd / path).parent)


def combined(line: Given, spec: Given) -> Given:
    """What the command line and a spec give. Raises UserError for what both give."""
    twice = [key for key in line.values if key in spec.values]
    if twice:
        raise UserError(*(f"--{key}: the spec gives it too ({spec.places[key]}); give it once" for key in twice))
    return Given({**spec.values, **line.values}, {**spec.places, **line.places}, line.cwd, spec.beside)


def start(given: Given) -> tuple[Command, list[str]]:
    """How jobs are started, and the errors about it."""
    errors = list(_contradictions(given))
    python = None
    if "python" in given.values:
        python, wrong = _python(given)
        errors += wrong
    if errors:
        return Command(), errors
    if "command" in given.values:
        text, place = given.values["command"], given.places["command"]
        errors = list(command.errors(text, place, given.cwd, python=python is not None))
        return Command(template=() if errors else command.split(text), python=python), errors
    found, errors = _module(given) if "module" in given.values else _script(given)
    launcher, wrong = _launcher(given, python)
    errors += wrong
    executable = found.script is not None and found.module is None and found.script.suffix != ".py"
    if python is not None and executable:
        errors.append(f"{given.places['python']}: {found.shown} is not Python, so it would not be used; leave it out")
    return Command(found.script, found.shown, (), found.module, launcher, python), errors


def _contradictions(given: Given) -> Iterator[str]:
    names = [key for key in ("train_script", "module", "command") if key in given.values]
    if len(names) > 1:
        first, second = (given.places[key] for key in names[:2])
        yield f"{first} and {second} both name what a job runs; give one of them"
    elif "launcher" in given.values and "command" in given.values:
        yield f"{given.places['launcher']}: goes with --train_script; write it at the beginning of the command"


def _script(given: Given) -> tuple[Command, list[str]]:
    cwd = given.cwd
    if "train_script" not in given.values:
        if DEFAULT_SCRIPT.is_file():
            return Command(script=DEFAULT_SCRIPT, shown=shown(DEFAULT_SCRIPT, cwd)), []
        if (own := _is_the_script(given)) is not None:
            return Command(), [own]
        cause = f"no training script is named, and this is not a checkout with {DEFAULT_SCRIPT.name}"
        return Command(), [f"{cause}; give --train_script PATH, or --command TEMPLATE{_or_itself(given)}"]
    text = given.values["train_script"]
    named = f"{given.places['train_script']} {text}"
    try:
        script = given.path("train_script")
        if script.is_dir():
            return Command(), [f"{named}: is a folder; name the script in it"]
        if not script.is_file():
            return Command(), [f"{named}: {_meant(text, cwd)}"]
    except (OSError, RuntimeError) as error:
        return Command(), [f"{named}: {error}; check the path"]
    if script.suffix != ".py" and (problem := executables.problem(script)) is not None:
        return Command(), [f"{named}: {problem}"]
    return Command(script=script, shown=shown(script, cwd)), []


def _is_the_script(given: Given) -> str | None:
    """What to give instead, where the only config is the training script itself."""
    if len(given.configs) != 1 or not (given.cwd / given.configs[0]).is_file():
        return None
    script = given.configs[0]
    if script.endswith(SHELL):
        once, each = (f"{shell} {{config}}" for shell in ("bash", f"bash {shlex.quote(script)}"))
        lines = [program.offered("run", script, "--command", once), program.offered("run", "env/*", "--command", each)]
        return f"{script}: is a program, not a config; to run it once give {lines[0]}, or for each config {lines[1]}"
    if not script.endswith(".py") or isinstance(recognize(given.cwd / script), UnknownScript):
        return None
    line = program.offered("run", "conf/*.yaml", "--train_script", script)
    fix = f"write its options into configs, such as lr: 0.1 in conf/a.yaml, and give {line}"
    return f"{script}: is a program, not a config; {fix}"


def _or_itself(given: Given) -> str:
    """What to give where the only config may be the program to run."""
    if len(given.configs) != 1 or not given.configs[0].endswith(".py") or not (given.cwd / given.configs[0]).is_file():
        return ""
    line = program.offered("run", given.configs[0], "--command", "python {config}")
    return f"; or, if {given.configs[0]} is the program, {line}"


def _meant(text: str, cwd: Path) -> str:
    """`cause; fix` for a --train_script that is not a file: what it may be instead."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    if "-m" in words[:-1]:
        module, before = words[words.index("-m") + 1], words[: words.index("-m")]
        return f"is a module, not a file; use {_launched(before)}--module {module}"
    scripts = [index for index, word in enumerate(words) if word.endswith(".py")]
    if len(words) > 1 and scripts == [0]:
        whole = " ".join(["python", words[0], "{config}", "--out_dir={out_dir}", *words[1:], "{overrides}"])
        return f'is more than a file; give its other words with --command "{whole}"'
    if len(words) > 1 and scripts:
        return f"is a command, not a file; use {_launched(words[: scripts[0]])}--train_script {words[scripts[0]]}"
    if _MODULE.fullmatch(text) and _file_of(text, cwd) is not None:
        return f"no such file, but a module of this name; use --module {text}"
    return "no such file; check the path"


def _launched(words: list[str]) -> str:
    """The option for words before a script; an interpreter alone is the default, or --python."""
    if len(words) == 1 and launchers.is_interpreter(words[0]):
        return "" if words[0] in ("python", "python3") else f"--python {shlex.quote(words[0])} "
    return f'--launcher "{shlex.join(words)}" ' if words else ""


def _module(given: Given) -> tuple[Command, list[str]]:
    name, place = given.values["module"], given.places["module"]
    if not _MODULE.fullmatch(name) or (name.endswith(".py") and (given.cwd / name).is_file()):
        fix = "use --train_script for a file" if name.endswith(".py") else "write it as in python -m pkg.train"
        return Command(), [f"{place} {name}: is not the name of a module; {fix}"]
    file = _file_of(name, given.cwd, installed="python" not in given.values)
    if file is None and "python" not in given.values:
        return Command(), [f"{place} {name}: no such module in this folder, nor installed; check its name"]
    return Command(script=file, shown=name, module=name), []


def _file_of(name: str, cwd: Path, *, installed: bool = True) -> Path | None:
    """The file of a module, which is not imported; None where it is not found."""
    top, *inner = name.split(".")
    folders: list[str] | None = [str(cwd)]
    spec = PathFinder.find_spec(top, folders)
    if installed and (spec is None or (spec.origin is None and not inner)):
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return None
    for end in range(len(inner)):
        folders = list(spec.submodule_search_locations or ()) if spec else []
        spec = PathFinder.find_spec(".".join([top, *inner[: end + 1]]), folders)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = PathFinder.find_spec(f"{name}.__main__", list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _python(given: Given) -> tuple[Path | None, list[str]]:
    """The interpreter: a path, the folder of a virtual environment, or a name as `python3.12`."""
    text, named = given.values["python"], f"{given.places['python']} {given.values['python']}"
    try:
        path = given.path("python")
    except (OSError, RuntimeError) as error:
        return None, [f"{named}: {error}; check the path"]
    if path.is_dir() and (path / "bin" / "python").is_file():
        path = path / "bin" / "python"
    if not path.exists() and "/" not in text and (found := shutil.which(text)) is not None:
        path = Path(found)
    problem = executables.problem(path)
    return (None, [f"{named}: {problem}"]) if problem else (path, [])


def _launcher(given: Given, python: Path | None) -> tuple[tuple[str, ...], list[str]]:
    """The words of the launcher. One that is installed beside the interpreter is taken from there."""
    if "launcher" not in given.values:
        return (), []
    place = given.places["launcher"]
    try:
        words = list(command.split(given.values["launcher"]))
    except ValueError as error:
        return (), [f"{place}: {str(error).lower()}; check its quotes"]
    beside = Path(python or sys.executable).parent / words[0] if words and "/" not in words[0] else None
    if beside is not None and os.access(beside, os.X_OK) and (python is not None or shutil.which(words[0]) is None):
        words[0] = str(beside)
    errors = list(command.launcher_errors(words, place, given.cwd))
    if errors or python is None or any(field.name == "python" for field in template.fields(words)):
        return tuple(_absolute(word, given.cwd) for word in words), errors
    if launchers.own_interpreter(words) and words[0] != str(beside):
        cause = f"{words[0]} starts another Python than --python"
        return (), [f"{place}: {cause}; install it there, write {{python}} in it, or leave --python out"]
    return tuple(_absolute(word, given.cwd) for word in words), []


def _absolute(word: str, cwd: Path) -> str:
    """A program in this folder: the job may be started in another one."""
    return str(cwd / word) if "/" in word and (cwd / word).is_file() else word
