"""The git state of a folder: commit, branch, and whether its code was changed. Asks git alone.

None stands for everything that git does not say for certain: no checkout, no commit, no git, another owner.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from runner.disk import layout

Standing = Literal["tracked", "untracked", "ignored"]
PATIENCE = 5.0  # seconds for a program that is asked

#: An untracked file with one of these suffixes is code that the commit does not contain.
CODE = (
    "py", "pyx", "pyi", "ipynb", "sh", "bash", "zsh", "c", "cc", "cpp", "cu", "cuh", "h", "hpp", "go", "java", "jl",
    "js", "ts", "lua", "m", "pl", "r", "R", "rb", "rs", "scala", "swift",
)  # fmt: skip


def checkout_of(folder: Path) -> Path | None:
    """The innermost folder around `folder` that git has under control; None outside a checkout."""
    folder = folder.resolve()
    return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), None)


def git(folder: Path) -> dict[str, Any] | None:
    """Commit, branch and `dirty` of the checkout around `folder`; None if git does not give its commit.

    `dirty`: a tracked file was changed, or there is an untracked code file that is not ignored; None if git took too
    long to say.
    """
    checkout = checkout_of(folder)
    if checkout is None:
        return None
    answer = _git(checkout, "rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD")
    top, commit, branch, *_ = [*(answer or "").splitlines(), "", "", ""]
    if not commit or Path(top).resolve() != checkout:  # a broken checkout: git answered for one around it
        return None
    return {"commit": commit, "branch": branch, "dirty": _dirty(checkout)}


def standing(checkout: Path, file: Path) -> Standing:
    """What the commit of a checkout says of a file in it: a file that git ignores is not described by any commit."""
    answer = _git(checkout, "status", "--porcelain", "--ignored", "--untracked-files=all", "--", str(file))
    return {"!!": "ignored", "??": "untracked"}.get((answer or "")[:2], "tracked")  # type: ignore[return-value]


def _dirty(checkout: Path) -> bool | None:
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    if changed is None or changed:
        return None if changed is None else True
    patterns = [f"*.{suffix}" for suffix in CODE]
    untracked = _git(checkout, "ls-files", "-z", "--others", "--exclude-standard", "--", *patterns)
    return None if untracked is None else _holds_code(checkout, filter(None, untracked.split("\0")))


def _holds_code(checkout: Path, untracked: Iterable[str]) -> bool:
    batches: dict[Path, bool] = {}
    for name in untracked:
        folders = Path(name).parents
        for folder in folders:
            batches.setdefault(folder, (checkout / folder / layout.PLAN).exists())
        if not any(batches[folder] for folder in folders):
            return True
    return False


def _git(checkout: Path, *words: str) -> str | None:
    """What git prints about this checkout, whatever the environment says of another one; None if it fails."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(checkout), "-c", "core.fsmonitor=false", *words]
    return ask(command, {**environ, "GIT_OPTIONAL_LOCKS": "0"})


def ask(command: list[str], environ: dict[str, str] | None = None, patience: float | None = None) -> str | None:
    """What a program prints; None if it cannot be started, fails, or takes longer than `patience` seconds (5)."""
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=PATIENCE if patience is None else patience,
            check=False,
            stdin=subprocess.DEVNULL,
            env=environ,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
