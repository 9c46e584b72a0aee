"""Ask processes of other sessions to end, and wait until they have. Knows pid records only."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from runner.processes import process_id

POLL = 0.2  # seconds between two looks at a process


def request(record: Sequence[str], number: int) -> None:
    """Send a signal to the process of a pid record; one that is suspended (Ctrl+Z) continues, to receive it."""
    for each in (number, signal.SIGCONT):
        try:
            if process_id.alive(record):
                os.kill(int(record[0]), each)
        except ProcessLookupError:  # it ended while we looked
            return


def wait(records: Sequence[Sequence[str]], patience: float | None) -> list[int]:
    """Wait until the processes have ended. Returns those that have not after `patience` seconds; None is no limit."""
    deadline = None if patience is None else time.monotonic() + patience
    while alive := [int(record[0]) for record in records if process_id.alive(record)]:
        if deadline is not None and time.monotonic() > deadline:
            return alive
        time.sleep(POLL)
    return []
