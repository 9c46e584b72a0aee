"""How this program was started, and the command line that starts it again."""

from __future__ import annotations

import sys
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
    """The words that start it, from the current folder."""
    if _by_module():
        return ("python", "-m", __package__.partition(".")[0])
    if Path(sys.argv[0]).name == COMMAND or not (PROJECT / SCRIPT).is_file():
        return (COMMAND,)
    return ("python", shown(PROJECT / SCRIPT))


def exact_words() -> tuple[str, ...]:
    """The words that start it as it was started now, with the same Python."""
    python = shown(sys.executable)
    return (python, *words()[1:]) if _by_module() else (python, str(Path(sys.argv[0])))


def script_words() -> tuple[str, ...]:
    """The same for a record that others read: without the path of the file that started us."""
    return (shown(sys.executable), *words()[1:]) if len(words()) > 1 else words()


def resume_command(root: Path) -> str:
    """The command line that resumes a batch."""
    by_script = words()[-1].endswith(SCRIPT)
    return command([*words(), "--resume" if by_script else "resume", shown(root)])


def stop_command(batch: str) -> str:
    """The command line that stops a batch in the background, given by its name or its folder."""
    return command([*words(), "stop", batch])


def _by_module() -> bool:
    return Path(sys.argv[0]).parts[-2:] == (__package__.partition(".")[0], "__main__.py")
