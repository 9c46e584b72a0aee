"""When the runner is killed: at any time, while it plans, or soon after something has changed on the disk."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from torture.witness import Witness

Reached = Callable[[], bool]


class After:
    """True some time after something has changed for the n-th time."""

    def __init__(self, look: Callable[[], object], changes: int, delay: float) -> None:
        self._look = look
        self._last = look()
        self._missing = changes
        self._delay = delay
        self._at: float | None = None

    def __call__(self) -> bool:
        if self._at is None:
            found = self._look()
            if found != self._last:
                self._last = found
                self._missing -= 1
            if self._missing <= 0:
                self._at = time.monotonic() + self._delay
        return self._at is not None and time.monotonic() >= self._at


WEIGHTS = {"any time": 3, "planning": 2, "a job's edge": 3, "a file's edge": 4}
LIVING = {"any time": 1, "planning": 1, "a job's edge": 6, "a file's edge": 4}  # moments when a job is alive


def moment(
    rng: random.Random, witness: Witness, jobs: list[str], length: float, weights: Mapping[str, int] = WEIGHTS
) -> tuple[str, Reached]:
    """The name of a moment, and a function that is true once it has come. `length`: seconds of a whole batch."""
    now = time.monotonic()
    left = length * (1 - len(witness.completed) / len(jobs)) + 0.3
    at = now + rng.uniform(0, 0.8 * left)
    early = now + rng.uniform(0, 0.3)
    job_edge, file_edge = rng.randint(1, 4), rng.randint(1, 20)
    delay, instant = rng.expovariate(1 / 0.02), rng.expovariate(1 / 0.003)
    match rng.choices([*weights], [*weights.values()])[0]:
        case "any time":
            return "any time", lambda: time.monotonic() >= at
        case "planning":
            return "planning", lambda: time.monotonic() >= early
        case "a job's edge":
            return "a job's edge", After(lambda: journal_size(witness), job_edge, delay)
    return "a file's edge", After(lambda: folder_times(witness, jobs), file_edge, instant)


def journal_size(witness: Witness) -> int:
    try:
        return witness.journal.stat().st_size
    except FileNotFoundError:
        return 0


def folder_times(witness: Witness, jobs: list[str]) -> tuple[int, ...]:
    """Changes whenever a file of the batch or of a job is made, renamed or removed."""
    try:
        folders = [witness.folder / "experiments", *(witness.folder / "experiments").glob("experiment_*")]
        folders += [folders[-1] / name for name in jobs]
        return tuple(folder.stat().st_mtime_ns for folder in folders if folder.exists())
    except FileNotFoundError:
        return ()
