"""How far a job is: read from its metrics.jsonl, or from what its supervisor understood of its output."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from runner.core import clock
from runner.core.job import Job
from runner.disk.layout import JobPaths
from runner.output import names, rows
from runner.output.tail import Tail

BLOCK = 1 << 16  # bytes read of a file at each look; a log that grows faster is skipped, not chased
LARGEST = 10**15  # iterations; more than that is a slip of the job, and no float
WINDOW = 20  # looks over which the speed is taken


@dataclass(frozen=True, slots=True)
class Progress:
    """Iterations done and planned, the last losses, and iterations per second; None where nothing is known."""

    iteration: int | None = None
    total: int | None = None
    loss: float | None = None
    val_loss: float | None = None
    speed: float | None = None

    @property
    def finite(self) -> bool:
        """False if a loss is NaN, or infinite."""
        return all(math.isfinite(value) for value in (self.loss, self.val_loss) if value is not None)

    @property
    def remaining(self) -> float | None:
        """Seconds until the last iteration at the present speed."""
        if self.iteration is None or not self.total or not self.speed or self.iteration >= self.total:
            return None  # after the last iteration a job may still evaluate and save: nobody knows for how long
        return (self.total - self.iteration) / self.speed


class Follower:
    """Reads on in the files of one running job."""

    def __init__(self, job: Job) -> None:
        paths = JobPaths(job.out_dir)
        total = job.config.get("max_iters")
        self.progress = Progress(total=total if isinstance(total, int) else None)
        self._metrics, self._parsed = Tail(paths.metrics, BLOCK), Tail(paths.parsed_metrics, BLOCK)
        self._output = Tail(paths.combined, BLOCK)
        self._measured = False
        self._seen: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def advance(self) -> list[str]:
        """Update `progress`; returns the output lines that came since the last call, without their timestamps."""
        for line in self._metrics.lines():
            self._measured = self._take_row(line) or self._measured
        parsed = self._parsed.lines()
        for line in parsed if not self._measured else ():
            self._take_row(line)
        return [_without_prefix(line.decode(errors="replace")) for line in self._output.lines()]

    def _take_row(self, line: bytes) -> bool:
        """Take over a row of metrics; False for what is none."""
        row = rows.parse(line)
        if row is None:
            return False
        values = rows.numbers(row)
        iteration, _ = rows.position(row)
        loss, val_loss = _first(values, names.TRAIN, "loss"), _first(values, names.VAL, "val_loss")
        self._update(iteration, row.get("max_iters"), loss, val_loss)
        return True

    def _update(self, iteration: int | None, total: object, loss: float | None, val_loss: float | None) -> None:
        now = self.progress
        if iteration is not None:
            if not self._seen or iteration > self._seen[-1][1]:
                self._seen.append((time.monotonic(), iteration))
            now = replace(now, iteration=iteration, speed=self._speed())
        self.progress = replace(
            now,
            total=total if isinstance(total, int) and abs(total) < LARGEST else now.total,
            loss=now.loss if loss is None else loss,
            val_loss=now.val_loss if val_loss is None else val_loss,
        )

    def _speed(self) -> float | None:
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) if ended - began > 0.5 else None


def _first(values: Mapping[str, float], *names: str) -> float | None:
    return next((values[name] for name in names if name in values), None)


def _without_prefix(line: str) -> str:
    """A line of combined.log without its timestamp and the name of its stream."""
    for name in ("[stdout] ", "[stderr] "):
        before, found, text = line.partition(name)
        if found and len(before) in (0, clock.WIDTH):
            return text
    return line
