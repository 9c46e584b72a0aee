"""Whether a training has diverged: its loss is not finite in several rows of metrics, one after another. Pure.

Only a loss of training or validation counts, as `names.canonical` knows them, and only a value that was written as NaN
or infinite: a null may mean that it was not measured.
"""

from __future__ import annotations

import math
import time

from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

WIDEST = 300  # characters of a row that are kept as evidence


class Divergence:
    """Takes the rows of a job, one after another. `patience` is the number of rows; 0: it never counts as diverged.

    `since` is when the last of these rows was taken, of the monotonic clock; None as long as it has not diverged.
    """

    def __init__(self, patience: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.since: float | None = None
        self._patience = patience
        self._clock = clock
        self._rows = 0
        self._name = ""
        self._word = ""
        self._evidence: dict[str, Any] = {}

    def take(self, values: Mapping[str, float], row: bytes, file: str, offset: int) -> None:
        """A row with these values, which begins at this byte of a file. A row without a loss says nothing."""
        losses = {name: value for name, value in values.items() if names.canonical(name) in (names.TRAIN, names.VAL)}
        if not losses:
            return
        if any(map(math.isfinite, losses.values())):
            self._rows, self.since = 0, None
            return
        self._rows += 1
        if self._patience and self._rows == self._patience:
            self._name, value = next(iter(losses.items()))
            self._word = "NaN" if math.isnan(value) else "infinite"
            self._evidence = {"line": row.decode(errors="replace").rstrip()[:WIDEST], "file": file, "offset": offset}
            self.since = self._clock()

    def sentence(self) -> str:
        """`loss is NaN in 3 rows of metrics.jsonl, one after another`"""
        what = f"{names.shown(names.canonical(self._name))} is {self._word}"
        return f"{what} in {self._patience} rows of {self._evidence['file']}, one after another"

    @property
    def evidence(self) -> dict[str, Any]:
        """The row by which it was known: `line`, `file` and the `offset` in that."""
        return dict(self._evidence)
