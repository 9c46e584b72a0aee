"""A line format that remembers a header: `columns: t energy`, then `= 5 -3.25`."""

from __future__ import annotations

from runner.output.reading import Reading


class Energy:
    def __init__(self) -> None:
        self._columns: list[str] = []

    def __call__(self, line: str) -> Reading | None:
        word, *cells = line.split() or [""]
        if word == "columns:":
            self._columns = cells
        if word != "=" or len(cells) != len(self._columns):
            return None
        found = dict(zip(self._columns, map(float, cells), strict=True))
        return Reading(step=int(found.pop("t")), values=found)
