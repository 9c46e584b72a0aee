"""Where a job comes from: the machine, its Python and packages, the git state of its code. Asked once per batch."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

import runner
from runner.core.checkout import PROJECT
from runner.core.job import Job
from runner.executors import python_environment
from runner.executors.git_state import Standing, ask, checkout_of, git, standing
from runner.executors.job_program import code_folder, interpreter, script_of


class Provenance:
    """Called with a job it returns what the job's metadata says of its origin.

    Each checkout and each interpreter is asked once per batch. What `jobs` need is gathered at once, before the first
    of them starts.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._checkouts: dict[Path | None, dict[str, Any] | None] = {None: None}
        self._around: dict[Path, Path | None] = {}  # folder -> its checkout
        self._standing: dict[Path, Standing] = {}
        self._pythons: dict[Path | None, dict[str, Any]] = {}
        self._common = {**machine(), **runs_the_runner(), "runner_git": self._state(checkout_of(PROJECT))}
        for job in jobs:
            self(job)

    def __call__(self, job: Job) -> dict[str, Any]:
        return {**self._python(job), **self._common, "git": self._git(job)}

    def _git(self, job: Job) -> dict[str, Any] | None:
        script = script_of(job)
        checkout = self._checkout(script.parent if script is not None else code_folder(job))
        if script is None or checkout is None:
            return self._state(checkout)
        if script not in self._standing:
            self._standing[script] = standing(checkout, script)
        state = self._state(checkout)
        if state is None or self._standing[script] == "ignored":
            return None
        return {**state, "dirty": True} if self._standing[script] == "untracked" else state

    def _checkout(self, folder: Path) -> Path | None:
        if folder not in self._around:
            self._around[folder] = checkout_of(folder)
        return self._around[folder]

    def _state(self, checkout: Path | None) -> dict[str, Any] | None:
        if checkout is not None and checkout not in self._checkouts:
            self._checkouts[checkout] = git(checkout)
        return self._checkouts[checkout]

    def _python(self, job: Job) -> dict[str, Any]:
        python = interpreter(job)
        if python not in self._pythons:
            self._pythons[python] = python_environment.described(python, {**os.environ, **job.env})
        return self._pythons[python]


def machine() -> dict[str, Any]:
    """Host and GPUs; None where something cannot be known."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": gpus(),
    }


def runs_the_runner() -> dict[str, Any]:
    """The version of the runner, and the Python that runs it."""
    return {
        "runner_version": runner.__version__,
        "runner_python": platform.python_version(),
        "runner_python_executable": sys.executable,
    }


def gpus() -> list[str]:
    """The names of the NVIDIA GPUs, in the order of their index."""
    if shutil.which("nvidia-smi") is None:
        return []
    names = ask(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return names.splitlines() if names else []
