"""How far a job is: read from its metrics.jsonl, or from what its supervisor understood of its output."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from runner.core.clock import WIDTH
from runner.core.job import Job
from runner.disk.layout import JobPaths
from runner.engine import phases
from runner.engine.pace import Pace
from runner.output import names, rows
from runner.output.tail import Tail

BLOCK = 1 << 16  # bytes read of a file at each look; a log that grows faster is skipped, not chased
LARGEST = 10**15  # iterations; more than that is a slip of the job, and no float


@dataclass(frozen=True, slots=True)
class Progress:
    """Iterations done and planned, the last losses, and iterations per second; None where nothing is known.

    `phase` is a word for what the job does while it does not train (engine/phases.py), else empty.
    """

    iteration: int | None = None
    total: int | None = None
    loss: float | None = None
    val_loss: float | None = None
    speed: float | None = None
    phase: str = ""

    @property
    def fraction(self) -> float | None:
        """The part of the iterations that is done, from 0 to 1."""
        if self.iteration is None or not self.total or self.total < 0:
            return None
        return min(max(self.iteration / self.total, 0.0), 1.0)

    @property
    def at_end(self) -> bool:
        """True after the last iteration: the job may still evaluate and save."""
        return self.iteration is not None and bool(self.total) and self.iteration >= (self.total or 0)

    @property
    def finite(self) -> bool:
        """False if a loss is NaN, or infinite."""
        return all(math.isfinite(value) for value in (self.loss, self.val_loss) if value is not None)

    @property
    def remaining(self) -> float | None:
        """Seconds until the last iteration at the present speed."""
        if self.iteration is None or not self.total or not self.speed or self.at_end:
            return None  # for how long a job evaluates and saves after it, only earlier jobs can tell
        return (self.total - self.iteration) / self.speed


class Follower:
    """Reads on in the files of one running job."""

    def __init__(self, job: Job, clock: Callable[[], float] = time.monotonic) -> None:
        paths = JobPaths(job.out_dir)
        total = job.config.get("max_iters")
        self.progress = Progress(total=total if isinstance(total, int) else None)
        self._clock = clock
        self._compiles = job.config.get("compile") is True
        self._metrics, self._parsed = Tail(paths.metrics, BLOCK, links=True), Tail(paths.parsed_metrics, BLOCK)
        self._output = Tail(paths.combined, BLOCK, log=True)
        self._measured = False
        self._pace = Pace()
        self._said = ""  # the phase that the output named last
        self._only_epochs = False  # the position is the number of an epoch, perhaps of one that has just begun

    def advance(self) -> list[str]:
        """Update `progress`; returns the output lines that came since the last call, without their timestamps."""
        before = self.progress.iteration
        for line in self._metrics.lines():
            self._measured = self._take_row(line) or self._measured
        parsed = self._parsed.lines()
        for line in parsed if not self._measured else ():
            self._take_row(line)
        lines = [_without_prefix(line.decode(errors="replace")) for line in self._output.lines()]
        self._said = phases.said(lines, "" if self.progress.iteration != before else self._said)
        if (phase := self._phase()) != self.progress.phase and (lines or self.progress.iteration is not None):
            self.progress = replace(self.progress, phase=phase)
        return lines

    def _phase(self) -> str:
        iteration = self.progress.iteration
        if self._said or (self.progress.at_end and not self._only_epochs):
            return self._said or phases.EVALUATING
        if self._compiles and not iteration:
            return phases.COMPILING
        return phases.STARTING if iteration is None and self.progress.total else ""

    def _take_row(self, line: bytes) -> bool:
        """Take over a row of metrics; False for what is none."""
        row = rows.parse(line)
        if row is None:
            return False
        values = rows.numbers(row)
        iteration, epoch = rows.position(row)
        self._only_epochs = not values and iteration is not None and iteration == epoch
        loss, val_loss = _first(values, names.TRAIN, "loss"), _first(values, names.VAL, "val_loss")
        self._update(iteration, row.get("max_iters"), loss, val_loss)
        return True

    def _update(self, iteration: int | None, total: object, loss: float | None, val_loss: float | None) -> None:
        now = self.progress
        if iteration is not None:
            self._pace.add(self._clock(), iteration)
            now = replace(now, iteration=iteration, speed=self._pace.speed)
        self.progress = replace(
            now,
            total=total if isinstance(total, int) and abs(total) < LARGEST else now.total,
            loss=now.loss if loss is None else loss,
            val_loss=now.val_loss if val_loss is None else val_loss,
        )


def _first(values: Mapping[str, float], *names: str) -> float | None:
    return next((values[name] for name in names if name in values), None)


def _without_prefix(line: str) -> str:
    """A line of combined.log without its timestamp and the name of its stream."""
    for name in ("[stdout] ", "[stderr] "):
        before, found, text = line.partition(name)
        if found and len(before) in (0, WIDTH):
            return text
    return line
