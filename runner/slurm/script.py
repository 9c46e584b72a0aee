"""The text of a batch script. Pure."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.core.checkout import PROJECT
from runner.core.options import RunOptions
from runner.slurm.request import SlurmRequest, notice

TASK, PILOT = "slurm_task", "slurm_pilot"
CONCLUDE = PROJECT / "runner" / "cli" / "conclude.py"
ROOM = 1000  # spaces in the command of a task: room for the words that it shows while it runs a job


def job_name(batch: str) -> str:
    """What squeue shows, and is asked for: the name of the batch, without what its command line cannot hold."""
    return re.sub(r"[^\w.+-]", "_", batch)


def summary_name(batch: str) -> str:
    """The same of the job that comes after all others."""
    return f"{job_name(batch)}.summary"


def text(
    root: Path, number: int, comment: str, options: RunOptions, request: SlurmRequest, *, tasks: int, cwd: Path
) -> str:
    """The script of one array: `tasks` jobs, or so many pilots."""
    limit = "" if not options.slurm_array_parallelism else f"%{options.slurm_array_parallelism}"
    pilots = options.slurm_pilots > 0
    sent = "TERM" if pilots else "USR1"  # a pilot is a runner, which a SIGTERM stops as on a workstation
    words = [
        f"--job-name={job_name(root.name)}",
        f"--comment={comment}",
        f"--array=0-{tasks - 1}{limit}",
        f"--output={root}/slurm/%A_%a.log",
        f"--chdir={cwd}",
        "--open-mode=append",
        "--requeue",
        "--export=ALL",
        f"--signal=B:{sent}@{notice(options, request.seconds)}",
        *request.words,
    ]
    started = shlex.join(command(root, number, pilots=pilots))
    return _script(words, options, f'exec {started} "$(printf %{ROOM}s)" $SLURM_ARRAY_TASK_ID')


def _script(words: Sequence[str], options: RunOptions, last: str) -> str:
    """These options of sbatch, the lines of the user, and the command."""
    asked = [f"#SBATCH {_quoted(word)}" for word in words]
    return "\n".join(["#!/bin/bash", *asked, *_setup(options.slurm_setup), last, ""])


def concluding(root: Path, options: RunOptions, arrays: Sequence[str]) -> str:
    """The script of the job that comes after all tasks of these arrays, however they end."""
    asked = {name: getattr(options, f"slurm_{name}") for name in ("partition", "account", "qos")}
    words = [
        f"--job-name={summary_name(root.name)}",
        f"--dependency=afterany:{':'.join(arrays)}",
        f"--output={root}/slurm/summary_%j.log",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--time=10",
        "--export=ALL",
        *(f"--{name}={value}" for name, value in asked.items() if value),
        *options.slurm_extra,
    ]
    started = shlex.join([sys.executable, "-I", str(CONCLUDE), str(root)])
    return _script(words, options, f"exec {started}")


def command(root: Path, number: int, *, pilots: bool = False) -> Sequence[str]:
    """What a task executes: a program of this installation, by its path."""
    program = PROJECT / "runner" / "executors" / f"{PILOT if pilots else TASK}.py"
    return [sys.executable, "-I", str(program), str(root), str(number)]


def _setup(lines: Sequence[str]) -> list[str]:
    return [f"{{ {line}\n}} || {{ echo 'this line of --slurm_setup failed' >&2; exit 1; }}" for line in lines]


def _quoted(word: str) -> str:
    """Slurm reads quotes in its lines as a shell does."""
    return word if re.fullmatch(r"[\w@%+=:,./\[\]-]+", word) else f'"{word}"'
