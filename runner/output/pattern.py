"""A pattern of the user, as in --metric_pattern: its groups are the names of metrics, or say the position."""

from __future__ import annotations

import re

from runner.output import names
from runner.output.grammar import number
from runner.output.reading import Reading

STEP = ("step", "iter", "iteration")
TOTAL = ("total", "max_iters")
LONGEST = 1000  # characters of a line that a pattern reads: what searches in the third power takes about a second
EPOCH, EPOCHS = "epoch", "epochs"


class Pattern:
    """`step (?P<step>\\d+) err=(?P<val_loss>\\S+)`. Raises ValueError, with the cause and a fix."""

    def __init__(self, text: str) -> None:
        try:
            self._pattern = re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"is not a regular expression ({error}); correct it") from None
        place = (*STEP, *TOTAL, EPOCH, EPOCHS)
        self._metrics = [name for name in self._pattern.groupindex if name not in place]
        if not self._metrics and not any(name in self._pattern.groupindex for name in (*STEP, EPOCH)):
            raise ValueError("does not name a metric; write its number as a group, such as (?P<val_loss>[\\d.]+)")

    def __call__(self, line: str) -> Reading | None:
        found = self._pattern.search(line) if len(line) <= LONGEST else None
        if found is None:
            return None
        said = {name: text for name, text in found.groupdict().items() if text is not None}
        values = {
            names.canonical(name): value
            for name in self._metrics
            if name in said and (value := number(said[name].strip().rstrip("%,;."))) is not None
        }
        step, total, epochs = (_whole(said, keys) for keys in (STEP, TOTAL, (EPOCHS,)))
        epoch = number(said[EPOCH]) if EPOCH in said else None
        return Reading(step, total, epoch, epochs, values)


def _whole(said: dict[str, str], keys: tuple[str, ...]) -> int | None:
    text = next((said[key] for key in keys if key in said), "").strip()
    return int(text.replace(",", "")) if text.replace(",", "").isdecimal() else None
