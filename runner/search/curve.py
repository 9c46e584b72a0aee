"""The metric of one trial, read on as its files of metrics grow."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from runner.core.fields import is_number
from runner.disk.layout import JobPaths
from runner.output import rows
from runner.output.names import canonical
from runner.output.tail import Tail
from runner.search.space import Search

BLOCK = 1 << 24  # bytes between two looks; of what grows faster the end is read only


class Curve:
    """Positions are those of the resource. `at` is the latest one, `last` the latest finite value of the metric."""

    def __init__(self, folder: str | os.PathLike[str], search: Search) -> None:
        paths = JobPaths(folder)
        self._own, self._parsed = Tail(paths.metrics, BLOCK, links=True), Tail(paths.parsed_metrics, BLOCK)
        self._measured = False
        self._search = search
        self._metric = canonical(search.metric)
        self._best: float | None = None
        self.at: float | None = None
        self.last: tuple[float, float] | None = None

    def advance(self) -> list[tuple[float, float]]:
        """(position, best value until there) for each new row that has the metric."""
        found = [rows.parse(line) for line in self._own.lines()]
        self._measured = self._measured or any(row is not None for row in found)
        parsed = self._parsed.lines()
        if not self._measured:
            found = [rows.parse(line) for line in parsed]
        return [point for row in found if row is not None and (point := self._point(row)) is not None]

    def _point(self, row: Mapping[str, Any]) -> tuple[float, float] | None:
        position = self._position(row)
        if position is None:
            return None
        self.at = position
        values = [value for name, value in rows.numbers(row).items() if canonical(name) == self._metric]
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return None
        value = finite[-1]
        better = self._best is None or (value < self._best if self._search.goal == "min" else value > self._best)
        self._best = value if better or self._best is None else self._best
        self.last = position, value
        return position, self._best

    def _position(self, row: Mapping[str, Any]) -> float | None:
        if self._search.resource:
            found: Any = row.get(self._search.resource)
            return float(found) if is_number(found) and abs(found) < 1e15 else None
        iteration, epoch = rows.position(row)
        return iteration if iteration is not None else epoch
