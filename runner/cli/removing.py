"""Before something is removed: the batch must not run, and the user has to agree."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from runner.core import program
from runner.core.errors import UserError
from runner.core.printing import say
from runner.core.text import plain, shown
from runner.disk.layout import SUPERVISOR, BatchPaths
from runner.disk.lock import holder, other_host
from runner.disk.removal import running_jobs


def lock_errors(root: Path) -> list[str]:
    """A sentence if a runner has the batch, here or on another host."""
    path = BatchPaths(root).lock
    held = holder(path)
    if held is None:
        return []
    if (host := other_host(held)) is not None:
        hint = f"stop it there; if it does not run there any more, delete {shown(path)}"
        return [f"{shown(root)}: runs on {host}; {hint}"]
    return [f"{shown(root)}: runs (pid {held.get('pid', '?')}); stop it with {program.offered('stop', root)}"]


def job_errors(root: Path) -> Iterator[str]:
    """A sentence for each job that runs without a runner, here or on another host."""
    for folder, who in running_jobs(root):
        name = f"{shown(root)}: {plain(str(folder.relative_to(root)))}"
        if who.on_other_host:
            path = shown(folder / SUPERVISOR)
            yield f"{name} runs on {who.where}; stop it there; if it does not run there any more, delete {path}"
        else:
            yield f"{name} runs (pid {who.supervisor_pid}); stop it with {program.offered('stop', root)}"


def refuse_running(*roots: Path) -> None:
    """Raise UserError for all of these batches that run."""
    errors = [error for root in roots for error in (lock_errors(root) or list(job_errors(root)))]
    if errors:
        raise UserError(*errors)


def agreed(question: str, *, yes: bool) -> bool:
    """Whether the user agrees. Without a terminal to ask on, raises UserError unless --yes was given."""
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("nothing was removed: there is no terminal to ask on; give --yes to agree beforehand")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:  # Ctrl+D
        say()
        return False
