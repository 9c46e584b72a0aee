"""The words `[BATCH] [JOB…]` of a command -> a batch, and names of its jobs. Without BATCH it is the latest one."""

from __future__ import annotations

import glob
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from runner.cli.batch_folders import batches, find, is_latest, no_such_job
from runner.configs.config_file import SUFFIXES
from runner.core.errors import UserError, did_you_mean
from runner.core.job import Plan
from runner.core.text import listed
from runner.disk import plan_file
from runner.planners import recorded


def add_words(parser: ArgumentParser, nargs: Literal["*", "+"], what: str, meaning: str) -> None:
    """The words of a command: a batch, and `what`, as `JOB...`."""
    parser.usage = f"{parser.prog} [options] [BATCH] {what}"
    parser.add_argument("words", nargs=nargs, metavar=f"[BATCH] {what}", help=meaning)


def batch_and_jobs(base: Path, words: Sequence[str]) -> tuple[Plan, list[str]]:
    """The batch, and the jobs that were named, each once. A first word that is the name of both means the batch.

    Raises UserError for a name that no job has.
    """
    root, named = _split(base, words)
    plan = recorded.plan(root, contents=False)
    names = [job.name for job in plan.jobs]
    if unknown := [word for word in named if word not in names]:
        raise UserError(*(no_such_job(word, names) for word in unknown))
    return plan, list(dict.fromkeys(named))


def batch_and_configs(base: Path, words: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder of the batch, and the configs that were named. A first word that is a file is not a batch."""
    first = words[0]
    path = Path.cwd() / Path(first).expanduser()
    if not _is_batch(base, first) and (path.is_file() or glob.has_magic(first)):
        return find(base, ""), list(words)
    if not _is_batch(base, first) and ("/" in first or path.suffix in SUFFIXES):
        raise UserError(f"{first}: no such file; check the path")
    return find(base, first), list(words[1:])


def _split(base: Path, words: Sequence[str]) -> tuple[Path, Sequence[str]]:
    if not words:
        return find(base, ""), ()
    first = words[0]
    if _is_batch(base, first) or is_latest(first) or any(root.name.startswith(first) for root in batches(base)):
        return find(base, first), words[1:]
    latest = find(base, "")
    jobs = [job.name for job in recorded.plan(latest, contents=False).jobs]
    if first not in jobs and any(path.is_dir() for path in _places(base, first)):
        return find(base, first), words[1:]
    if first not in jobs:
        hint = did_you_mean(first, [*jobs, *(root.name for root in batches(base))]) or f"there are {listed(jobs, 5)}"
        raise UserError(f"{first}: no such batch, and no such job in the latest one, {latest.name}; {hint}")
    return latest, words


def _is_batch(base: Path, word: str) -> bool:
    return any(map(plan_file.exists, _places(base, word)))


def _places(base: Path, word: str) -> tuple[Path, Path]:
    """The folders that a word can mean."""
    return Path.cwd() / Path(word).expanduser(), base / word
