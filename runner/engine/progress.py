"""How far a job is: read from its metrics.jsonl, or, for other people's scripts, from lines of their output."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner.core import clock
from runner.core.job import Job
from runner.disk.layout import JobPaths
from runner.disk.reading import open_regular

BLOCK = 1 << 16  # bytes read of a file at each look; a log that grows faster is skipped, not chased
LARGEST = 10**15  # iterations; more than that is a slip of the job, and no float
WINDOW = 20  # looks over which the speed is taken

_ITERATION = re.compile(r"\b(?:iter|step|iteration)[ :=]*(\d{1,15})(?:\s*/\s*(\d{1,15}))?\s*[:,|\]]", re.IGNORECASE)
_LOSS = re.compile(r"(?<!val )(?<!validation )\bloss[ :=]+(-?\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf)", re.IGNORECASE)
_VALIDATION = re.compile(r"\bval(?:idation)?[ _/]loss[ :=]+(-?\d[\d.]*(?:[eE][+-]?\d+)?|nan|inf)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Progress:
    """Iterations done and planned, the last losses, and iterations per second; None where nothing is known."""

    iteration: int | None = None
    total: int | None = None
    loss: float | None = None
    val_loss: float | None = None
    speed: float | None = None

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
        self._metrics = _Tail(paths.metrics)
        self._output = _Tail(paths.combined)
        self._measured = False
        self._seen: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def advance(self) -> list[str]:
        """Update `progress`; returns the output lines that came since the last call, without their timestamps."""
        for line in self._metrics.lines():
            self._take_row(line)
        lines = [_without_prefix(line) for line in self._output.lines()]
        if not self._measured:
            for line in lines:
                self._take_line(line)
        return lines

    def _take_row(self, line: str) -> None:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if isinstance(row, dict):
            self._measured = True
            self._update(
                row.get("iter"),
                row.get("max_iters"),
                _loss(row, "train/loss", "loss"),
                _loss(row, "val/loss", "val_loss"),
            )

    def _take_line(self, line: str) -> None:
        iteration = _ITERATION.search(line)
        if iteration:
            loss, validation = _LOSS.search(line), _VALIDATION.search(line)
            self._update(
                int(iteration[1]),
                int(iteration[2]) if iteration[2] else None,
                _number(loss[1]) if loss else None,
                _number(validation[1]) if validation else None,
            )

    def _update(self, iteration: object, total: object, loss: float | None, val_loss: float | None) -> None:
        now = self.progress
        if isinstance(iteration, int) and abs(iteration) < LARGEST:
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


def _loss(row: Mapping[str, Any], *names: str) -> float | None:
    return next((_number(row[name]) for name in names if isinstance(row.get(name), int | float)), None)


def _number(value: Any) -> float | None:
    """What a job wrote as a number, `2.31.` at the end of a sentence included; None if it is none after all."""
    try:
        return float(value.rstrip(".") if isinstance(value, str) else value)
    except (ValueError, OverflowError):
        return None


def _without_prefix(line: str) -> str:
    """A line of combined.log without its timestamp and the name of its stream."""
    for name in ("[stdout] ", "[stderr] "):
        before, found, text = line.partition(name)
        if found and len(before) in (0, clock.WIDTH):
            return text
    return line


class _Tail:
    """The whole lines that were appended to a file since the last look."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self) -> list[str]:
        try:
            with open_regular(self._path) as file:  # opened each time: it may be gone and come again
                end = file.seek(0, 2)
                if end - self._at > BLOCK:  # too much to read on time: continue near its end
                    self._at, self._rest = end - BLOCK, b""
                file.seek(self._at)
                block = file.read(BLOCK)
        except OSError:
            return []
        self._at += len(block)
        *lines, self._rest = (self._rest + block).split(b"\n")
        self._rest = self._rest[-BLOCK:]
        return [line.decode(errors="replace") for line in lines]
