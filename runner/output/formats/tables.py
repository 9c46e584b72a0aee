"""Numbers in columns: YOLO's epochs and validations, Lightning's table of a test, rounds of gradient boosting."""

from __future__ import annotations

import re

from runner.output.grammar import VALUE, Line, number
from runner.output.reading import Reading

_HEADER = r"^\s*Epoch\s+GPU_mem\s+(?P<names>.+?)\s+Instances\s+Size\s*$"
_ROW = r"^\s*(?P<epoch>\d{1,15})/(?P<of>\d{1,15})\s+[\d.]+[GM]B?\s+(?P<values>[\d.einfa+\- ]+?)\s+\d+\s+\d+(?::|\s*$)"
_CLASSES = r"^\s*Class\s+Images\s+(?:Instances|Labels)\s+(?P<names>.+?)(?::\s|$)"
_ALL = r"^\s+all\s+\d+\s+\d+\s+(?P<values>[\d.einfa+\- ]+)$"
_BOX = rf"^[│|]\s*(?P<name>[A-Za-z][\w/@.-]*)\s*[│|]\s*(?P<value>{VALUE})\s*[│|]\s*$"
_ROUND = r"^(?:\[[\d:]+\]\s*)?\[(?P<at>\d{1,15})\]\s+(?=\S.*:)"
_CATBOOST = rf"^(?P<at>\d{{1,15}}):\s+learn:\s*(?P<learn>{VALUE})(?:\s+test:\s*(?P<test>{VALUE}))?.*\btotal:"
_SHORT = {"P": "precision", "R": "recall"}


class Tables:
    """Remembers the latest header, which names the columns."""

    def __init__(self) -> None:
        self._losses: list[str] = []
        self._of_all: list[str] = []

    def __call__(self, line: str) -> Reading | None:
        if "GPU_mem" in line and (header := re.match(_HEADER, line)) is not None:
            self._losses = header["names"].split()
            return None
        if "Images" in line and (header := re.match(_CLASSES, line)) is not None:
            columns = re.findall(r"[A-Za-z][\w-]*", header["names"].replace("@.5:.95", "50-95").replace("@.5", "50"))
            self._of_all = [_SHORT.get(name, name) for name in columns if name not in ("Box", "Mask", "Pose")]
            return None
        if self._losses and (row := re.match(_ROW, line)) is not None:
            values = _columns(self._losses, row["values"])
            return Reading(epoch=int(row["epoch"]), epochs=int(row["of"]), values=values)
        if self._of_all and (row := re.match(_ALL, line)) is not None:
            return Reading(values=_columns(self._of_all, row["values"]))
        return _of_line(line)


def _of_line(line: str) -> Reading | None:
    if line[:1] in "│|" and (box := re.match(_BOX, line)) is not None:
        return Reading(values=_columns([box["name"]], box["value"]))
    if line[:1] == "[" and (found := re.match(_ROUND, line)) is not None:
        values = Line(re.sub(r"(\w+)'s (\w+):", r"\1/\2:", line[found.end() :])).values
        return Reading(int(found["at"]), values=values) if values else None
    if "learn:" in line and (found := re.match(_CATBOOST, line)) is not None:
        values = _columns(["learn", "test"], f"{found['learn']} {found['test'] or ''}")
        return Reading(int(found["at"]), values=values)
    return None


def _columns(names: list[str], text: str) -> dict[str, float]:
    numbers = zip(names, map(number, text.split()), strict=False)
    return {name: value for name, value in numbers if value is not None}
