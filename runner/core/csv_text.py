"""The one door to CSV: a cell that a spreadsheet would take for a formula gets an apostrophe, and is text.

Numbers stay numbers, negative ones too. What would control a terminal, or end a row, becomes a blank.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from runner.core.text import CONTROLS

#: How a formula begins, also behind blanks and in full width; or a cell that begins with what separates cells.
_CONTROLS = re.compile(rf"(?![\t\n]){CONTROLS.pattern}")
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The names of the columns, then a line for each row; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, columns))
    writer.writerows(map(cell, row) for row in rows)
    return text.getvalue()


def cell(value: Any) -> Any:
    """A value as it is written: what is a text or no plain value, and begins like a formula, becomes harmless."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = _CONTROLS.sub(" ", str(value))
    return f"'{text}" if _FORMULA.match(text) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and text == text.strip()
