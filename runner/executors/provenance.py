"""Where a job comes from: the machine, Python and its packages, the git state of the code. Asked once per batch."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import runner
from runner.core.checkout import PROJECT
from runner.core.job import Job

PACKAGES = ("torch", "numpy", "pydantic", "pyyaml", "rich", "psutil", "wandb", "tiktoken")
PATIENCE = 5.0  # seconds for a program that is asked


class Provenance:
    """Called with a job it returns what the job's metadata says of its origin. Each checkout is asked once per batch.

    What `jobs` need is gathered at once, before the first of them starts.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._checkouts: dict[Path | None, dict[str, Any] | None] = {None: None}
        self._folders: dict[Path, Path | None] = {}
        self._common = {**machine(), "runner_version": runner.__version__, "runner_git": self._git(PROJECT)}
        for job in jobs:
            self._git(code_folder(job))

    def __call__(self, job: Job) -> dict[str, Any]:
        return {**self._common, "git": self._git(code_folder(job))}

    def _git(self, folder: Path) -> dict[str, Any] | None:
        if folder not in self._folders:
            self._folders[folder] = checkout_of(folder)
        checkout = self._folders[folder]
        if checkout not in self._checkouts:
            self._checkouts[checkout] = git(folder)
        return self._checkouts[checkout]


def code_folder(job: Job) -> Path:
    """The folder of the job's script; where none is known, the one that its command runs in."""
    return job.script.parent if job.script is not None else job.cwd


def checkout_of(folder: Path) -> Path | None:
    """The innermost folder around `folder` that git has under control; None outside a checkout."""
    folder = folder.resolve()
    return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), None)


def machine() -> dict[str, Any]:
    """Python, packages, host and GPUs; None where something cannot be known."""
    return {
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "packages": {name: _version(name) for name in PACKAGES},
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git(folder: Path) -> dict[str, Any] | None:
    """Commit, branch, and whether tracked files were changed; None outside a checkout."""
    commit = _ask(["git", "-C", str(folder), "rev-parse", "HEAD"])
    if not commit:
        return None
    return {
        "commit": commit,
        "branch": _ask(["git", "-C", str(folder), "rev-parse", "--abbrev-ref", "HEAD"]),
        "dirty": bool(_ask(["git", "-C", str(folder), "status", "--porcelain", "--untracked-files=no"])),
    }


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs, in the order of their index."""
    if shutil.which("nvidia-smi") is None:
        return []
    names = _ask(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return names.splitlines() if names else []


def _ask(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
