"""Measure how long steps take: mean, median and 95th percentile, without waiting for a GPU in between."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds per step since the last reading."""

    mean: float
    median: float
    p95: float


class StepTimer:
    """Call `mark` after every step. On a GPU the marks are events in its stream, whose times `read` fetches."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._marks: list[float | torch.cuda.Event] = []
        self.restart()

    def restart(self) -> None:
        """Forget the time so far: something other than steps took it."""
        self._marks = [self._now()]

    def mark(self) -> None:
        self._marks.append(self._now())

    def read(self) -> StepTimes:
        """The times of the steps since the last reading, at least one. Waits for the last of them."""
        marks, self._marks = self._marks, self._marks[-1:]
        if self._on_gpu:
            marks[-1].synchronize()
            steps = [begin.elapsed_time(end) / 1000 for begin, end in itertools.pairwise(marks)]
        else:
            steps = [end - begin for begin, end in itertools.pairwise(marks)]
        p95 = sorted(steps)[round(0.95 * (len(steps) - 1))]
        return StepTimes(statistics.fmean(steps), statistics.median(steps), p95)

    def _now(self) -> float | torch.cuda.Event:
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
