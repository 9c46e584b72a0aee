"""Send a request to the runner of a batch, and wait for its answer, for a limited time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from runner.core.errors import UserError, print_error
from runner.core.job import Plan
from runner.core.printing import say
from runner.core.requests import Answer, Request
from runner.core.text import shown
from runner.disk import requests
from runner.disk.layout import BatchPaths
from runner.disk.lock import runner

PATIENCE = 15.0  # seconds for an answer; a runner looks several times a second
POLL = 0.05  # seconds between two looks for it


def ask(plan: Plan, request: Request) -> Answer | None:
    """The answer of the batch's runner; None if no runner runs the batch, and so nothing was done.

    Raises UserError if it does not answer; then the request is withdrawn.
    """
    if runner(BatchPaths(plan.root).lock) is None:
        return None
    ticket = requests.send(plan, request)
    try:
        return _answer(plan.root, ticket)
    finally:
        requests.withdraw(plan.root, ticket)  # still there after Ctrl+C only


def print_answer(answer: Answer, program: str) -> int:
    """Print what was done, or why nothing was; returns the exit code."""
    if answer.refused:
        return print_error(UserError(*answer.lines, counted=False), program)
    for line in answer.lines:
        say(line)
    sys.stdout.flush()
    return 0


def _answer(root: Path, ticket: str) -> Answer | None:
    deadline = time.monotonic() + PATIENCE
    while True:
        running = runner(BatchPaths(root).lock)  # before the look for an answer: it may be the last thing that it does
        if (found := requests.read_answer(root, ticket)) is not None:
            return found
        if running is None:
            return None
        if time.monotonic() > deadline:
            who = f"its runner (pid {running.get('pid')} on {running.get('host')})"
            taken = "took the request, but" if not requests.withdraw(root, ticket) else "is suspended, or too busy: it"
            raise UserError(f"{shown(root)}: {who} {taken} did not answer within {PATIENCE:g} s; look at its status")
        time.sleep(POLL)
