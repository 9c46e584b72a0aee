"""What the built-in formats make of a text, as a supervisor reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.output.lines import LineReader, Splitter
from runner.output.measurements import Measurements
from runner.output.position import Position
from runner.output.registry import FORMATS


class Program:
    """The output of one program, read block by block."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self.lines = LineReader(FORMATS.targets(), patterns)
        self.position = Position()
        self.measurements = Measurements()
        self._splitter = Splitter(every=bool(patterns))

    def prints(self, text: str) -> Program:
        for line, _ in [*self._splitter.feed(text.encode()), *self._splitter.finish()]:
            if (reading := self.lines.read(line)) is not None:
                self.position.take(reading)
                self.measurements.add(reading.values, self.position.iteration, self.position.epoch)
        return self

    @property
    def known(self) -> dict[str, Any]:
        """The position, and the last value of each metric."""
        assert self.lines.errors == []
        return {**self.position.entries(), **self.measurements.last}
