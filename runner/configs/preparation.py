"""Prepare what jobs need before the first of them starts, such as datasets: each by a program of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterable

from runner.configs.scripts import recognize
from runner.configs.training_script import Preparation
from runner.core.job import Job
from runner.core.printing import say


def preparations(jobs: Iterable[Job]) -> list[Preparation]:
    """What these jobs need and does not exist yet, each once."""
    jobs = list(jobs)
    adapters = {script: recognize(script) for script in {job.script for job in jobs}}
    needed = [adapters[job.script].unprepared(job.config) for job in jobs]
    return list(dict.fromkeys(preparation for preparation in needed if preparation is not None))


def prepare(needed: Collection[Preparation]) -> list[str]:
    """Run the programs, one after another; returns a sentence for each that failed."""
    errors = []
    for preparation in needed:
        say(f"preparing {preparation.what} …", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, *preparation.argv],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            stdout=sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL,  # the progress bar of a download
            check=False,
        )  # fmt: skip
        if done.returncode:
            cause = done.stderr.strip().rpartition("\n")[2].removeprefix("error: ")
            errors.append(f"{preparation.what}: {cause}")
    return errors
