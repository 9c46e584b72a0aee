"""Keras: `Epoch 3/10`, then a bar or a line of the epoch. `evaluate` prints the same without an epoch."""

from __future__ import annotations

import re

from runner.output.grammar import Line
from runner.output.reading import Reading

_EPOCH = r"^Epoch (\d{1,15})/(\d{1,15})\s*$"
_BAR = r"^\s*(\d{1,15})/(\d{1,15}|Unknown)\s+(?:\[[=>. ]*\]|[━╸╺─]+|-)\s+(?P<rest>\S.*)"


class Keras:
    """Remembers whether an epoch is open, so that an evaluation after it is not taken for the training."""

    def __init__(self) -> None:
        self._total: str | None = None  # batches of an epoch
        self._begun = False  # an epoch was announced, and none of its bars was drawn

    def __call__(self, line: str) -> Reading | None:
        if line.startswith("Epoch ") and (epoch := re.match(_EPOCH, line)) is not None:
            self._begun = True
            return Reading(epoch=int(epoch[1]), epochs=int(epoch[2]))
        if ("step" not in line and " - " not in line) or (bar := re.match(_BAR, line)) is None:
            return None
        if self._begun:
            self._begun, self._total = False, bar[2]
        values = Line(bar["rest"]).values
        if bar[2] != self._total and self._total is not None and bar[2] != "Unknown" and self._total != "Unknown":
            return Reading(values=Line(bar["rest"], "val").values) if values else None
        total = int(bar[2]) if bar[2].isdigit() else None
        return Reading(int(bar[1]), total, values=values, in_epoch=True)
