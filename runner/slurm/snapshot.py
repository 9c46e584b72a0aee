"""The code of the project as it was when a batch was submitted: later edits do not reach jobs in the queue."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from runner.core.job import Job
from runner.slurm.submissions import Task


def running(task: Task) -> Job:
    """The job as it is started: in the copy of the code, with its paths into the project turned to the copy."""
    job, project, code = task.job, task.project, task.code
    if project is None or code is None:
        return job
    turned = {
        "argv": tuple(_turned(word, project, code) for word in job.argv),
        "cwd": Path(_turned(str(job.cwd), project, code)),
        "source_argument": None if job.source_argument is None else _turned(job.source_argument, project, code),
        "copy_words": {index: _turned(word, project, code) for index, word in job.copy_words.items()},
    }
    return replace(job, **turned).with_fingerprint(job.fingerprint)  # type: ignore[arg-type]


def _turned(word: str, project: Path, code: Path) -> str:
    """A path of the project, alone or after the = of an option, as that of the copy; other words as they are."""
    option, equals, path = word.rpartition("=")
    if path == str(project) or path.startswith(f"{project}{os.sep}"):
        there = code / os.path.relpath(path, project)
        if os.path.lexists(there):  # what the copy does not have is where it was: a folder of outputs, a virtualenv
            return f"{option}{equals}{there}"
    return word
