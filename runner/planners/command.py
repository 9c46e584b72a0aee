"""How a job's command line is made: from a training script and its launcher, or from a template of the user's. Pure."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from runner.core.text import shown
from runner.planners import template
from runner.planners.executables import word_problem
from runner.planners.launchers import starting
from runner.planners.shell import operator
from runner.planners.template import Values


@dataclass(frozen=True, slots=True)
class Command:
    """A training script (`script`, shown as `shown`) or a `module`, or a `template` split into words.

    `launcher` are words before the script; `python` is the interpreter, None for the one that runs us. The file of a
    module is its `script`, where it is known.
    """

    script: Path | None = None
    shown: str = ""
    template: tuple[str, ...] = ()
    module: str | None = None
    launcher: tuple[str, ...] = ()
    python: Path | None = None

    @property
    def interpreter(self) -> str:
        return str(self.python or sys.executable)

    def seen_from(self, cwd: Path) -> Command:
        """The same command as it is given in `cwd`."""
        return self if self.script is None else replace(self, shown=shown(self.script, cwd))

    def argv(self, values: Values, out_dir_option: str) -> tuple[str, ...]:
        """The command for one config. Raises UserError where a template cannot hold a value safely."""
        python = shown(values.python, values.cwd)
        if self.template:
            words = template.rendered(self.template, values)
            return (python, *words[1:]) if self.template[0] == "{python}" else words
        folder = (f"{out_dir_option}={values.out_dir}",) if out_dir_option else ()
        line = (*((values.config,) if values.takes_config else ()), *folder, *values.overrides)
        launcher = template.rendered(self.launcher, values, "--launcher")
        target = ("-m", self.module) if self.module is not None else (self.shown,)
        if self.module is None and self.script is not None and self.script.suffix != ".py":
            return (*launcher, str(self.script), *line)
        if values.python in launcher:  # its own words start the interpreter
            return (*launcher, *target, *line)
        return (*starting(launcher, python, target), *line)


def split(text: str) -> tuple[str, ...]:
    """The words of a command line; ~ at the beginning of one is the home folder, as in a shell. Raises ValueError."""
    words = shlex.split(text)
    return tuple(os.path.expanduser(word) if word.startswith("~/") else word for word in words)  # noqa: PTH111


def errors(text: str, place: str, cwd: Path, *, python: bool) -> Iterator[str]:
    """Sentences on the errors in a template. `python`: the user names an interpreter, which it has to use."""
    try:
        words = split(text)
    except ValueError as error:
        yield f"{place}: {str(error).lower()}; check its quotes"
        return
    found = list(template.errors(words, place))
    yield from found
    if not words or found:
        return
    if (sign := operator(text)) is not None:
        cause = f"{sign!r} is understood by a shell only, and none is started"
        yield f"{place}: {cause}; write bash -c '…' around the command, or put {sign!r} in quotes"
    named = not template.fields(words[:1])
    if (problem := (word_problem(words[0], cwd) if named else None) or _script_problem(words, cwd)) is not None:
        yield f"{place}: {problem}"
    if python and not any(field.name == "python" for field in template.fields(words)):
        yield f"--python: the {place.removeprefix('--')} has no {{python}}, so it would not be used; add it there"


def _script_problem(words: Sequence[str], cwd: Path) -> str | None:
    """`cause; fix` for a script behind an interpreter that is not there; None also where the words do not tell."""
    if re.fullmatch(r"\{python\}|(?:\S*/)?(?:python[\d.]*|(?:ba|z|da|k)?sh|Rscript)", words[0]) is None:
        return None
    for place, word in enumerate(words[1:], 1):
        if template.fields([word]) or re.match(r"-[A-Za-z]*[cms]", word):  # a module, or a command in a word
            return None
        if not word.startswith("-") and words[place - 1] not in ("-W", "-X", "-o", "-O", "+o"):
            return None if (cwd / Path(word).expanduser()).exists() else f"{word!r}: no such file; check the path"
    return None


def launcher_errors(words: Sequence[str], place: str, cwd: Path) -> Iterator[str]:
    """Sentences on the errors in a launcher."""
    allowed = [name for name in template.PLACEHOLDERS if name not in template.STYLES]
    for field in template.fields(words):
        if field.name not in allowed:
            known = ", ".join(f"{{{name}}}" for name in allowed)
            yield f"{place}: {{{field.name}}} cannot be used here; there are {known}"
    if not words:
        yield f"{place}: is empty; give a program such as torchrun, or leave it out"
    elif words[-1].endswith(".py"):
        yield f"{place}: names the script {words[-1]}; give that with --train_script, and only the words before it here"
    elif not template.fields(words[:1]) and (problem := word_problem(words[0], cwd)) is not None:
        yield f"{place}: {problem}"
