"""Prepare the datasets that configs name, before a job needs them: each by a program of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preparation:
    """A program that prepares a dataset: a script and its arguments."""

    dataset: str
    words: tuple[str, ...]


def prepare(preparations: Collection[Preparation]) -> list[str]:
    """Prepare datasets before the first job needs them; what is wrong with each that cannot be."""
    problems = []
    for preparation in preparations:
        print(f"preparing {preparation.dataset} …", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, *preparation.words],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            stdout=sys.stderr if sys.stderr.isatty() else subprocess.DEVNULL,  # the bar of a download
            check=False,
        )  # fmt: skip
        if done.returncode:
            words = done.stderr.strip().rpartition("\n")[2].removeprefix("error: ")
            problems.append(f"dataset {preparation.dataset}: {words}")
    return problems
