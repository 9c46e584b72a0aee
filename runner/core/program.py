"""How this program was started, and the command line that starts it again."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from runner.core.checkout import PROJECT
from runner.core.text import command, shown

COMMAND = "overnight"  # what pip installs
SCRIPT = "run_experiments.py"  # the entry point in a checkout


def name() -> str:
    """The beginning of error messages."""
    started = Path(sys.argv[0]).name if sys.argv else ""
    return started if started == COMMAND else f"python -m {__package__.partition('.')[0]}" if _by_module() else SCRIPT


def words() -> tuple[str, ...]:
    """The words that start it in the shell of the user, from the current folder."""
    if _by_module():
        return (_python(), "-m", __package__.partition(".")[0])
    started = Path(sys.argv[0])
    if started.name == COMMAND:
        return (COMMAND,) if _found(COMMAND) == str(started.absolute()) else (shown(started.absolute()),)
    if (PROJECT / SCRIPT).is_file():
        return (_python(), shown(PROJECT / SCRIPT))
    return (COMMAND,) if _found(COMMAND) else (_python(), "-m", __package__.partition(".")[0])


def offered(*arguments: str | Path) -> str:
    """A command line of ours that can be pasted where the user stands. A path may be one of a batch."""
    return pasted((*words(), *(_word(argument) for argument in arguments)))


def pasted(argv: Sequence[str], folder: Path | None = None) -> str:
    """A command line that can be pasted where the user stands; `folder` is where it has to be run."""
    there = "" if folder in (None, Path.cwd()) else f"cd {command([str(folder)])} && "
    return there + command(argv)


def resume_command(root: Path) -> str:
    """The command line that resumes a batch."""
    return offered("--resume" if words()[-1].endswith(SCRIPT) else "resume", root)


def script_words(script: Path) -> tuple[str, ...]:
    """The words that start another script of this checkout."""
    return (_python(), shown(script))


def _python() -> str:
    """The word for this Python: as it was given, if the shell finds it by that."""
    given = sys.orig_argv[0]
    return given if _found(given) == sys.executable else shown(sys.executable)


@cache
def _found(word: str) -> str | None:
    """What the shell finds by this word; every job of a large batch asks."""
    return shutil.which(word)


def _word(argument: str | Path) -> str:
    if isinstance(argument, str):
        return argument
    path = shown(argument)
    return f"./{path}" if path.startswith("-") else path  # so that it is not read as an option


def _by_module() -> bool:
    return Path(sys.argv[0]).parts[-2:] == (__package__.partition(".")[0], "__main__.py")
