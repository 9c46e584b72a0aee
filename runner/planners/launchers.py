"""Programs that start a training script: which of them start Python files by themselves. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

#: Programs that take a Python file, or `-m` and a module.
_OF_PYTHON = {
    "torchrun", "accelerate", "deepspeed", "composer", "colossalai", "ipython", "coverage", "memray", "kernprof",
    "scalene", "viztracer", "debugpy", "pyinstrument",
}  # fmt: skip
#: Programs that start others in an environment of their own, where our interpreter is not the right one.
_ENVIRONMENTS = {
    "conda", "mamba", "micromamba", "uv", "poetry", "pipenv", "pdm", "hatch", "pixi", "rye", "docker", "podman",
    "singularity", "apptainer", "ssh",
}  # fmt: skip
_MODULE_OPTION = {"deepspeed": "--module"}  # instead of -m
_INTERPRETER = re.compile(r"(python|pypy)[\d.]*")


def starting(launcher: Sequence[str], python: str, target: Sequence[str]) -> tuple[str, ...]:
    """The words that start `target`, a Python file or `-m` and a module, by a launcher or by the interpreter."""
    names = {Path(word).name for word in launcher}
    if not launcher or not own_interpreter(launcher):
        return (*launcher, python, *target)
    if not runs_python(launcher):
        return (*launcher, "python", *target)
    option = next((_MODULE_OPTION[name] for name in names if name in _MODULE_OPTION), "-m")
    return (*launcher, *(option if word == "-m" else word for word in target))


def runs_python(launcher: Sequence[str]) -> bool:
    """Whether it takes a Python file, and not a command: torchrun, accelerate, or an interpreter and its options."""
    return any(Path(word).name in _OF_PYTHON or is_interpreter(word) for word in launcher)


def own_interpreter(launcher: Sequence[str]) -> bool:
    """Whether it decides which interpreter is used."""
    return runs_python(launcher) or any(Path(word).name in _ENVIRONMENTS for word in launcher)


def is_interpreter(word: str) -> bool:
    return bool(_INTERPRETER.fullmatch(Path(word).name))
