"""Rows of metrics.jsonl and parsed_metrics.jsonl: JSON objects with a position and numbers. Pure."""

from __future__ import annotations

import json
import math

from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: Keys that say where a row stands, and are not metrics.
PLACE = ("iter", "max_iters", "epoch", "time", "step")
NONFINITE = "nonfinite"  # the key of a row: name of a metric that is null in it -> which value it was
_WORDS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


def parse(line: str | bytes) -> dict[str, Any] | None:
    """The row in a line; None for what a crash truncated, or what is not an object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row. A loss that is null is NaN, which JSON does not have.

    Not so where another loss of the row is a number, or where the row itself says which values were not finite: then it
    was only not measured in this row.
    """
    found = measured(row)
    if None not in row.values():
        return found
    lost = [name for name, value in row.items() if value is None and names.is_loss(name)]
    if not lost:
        return found
    known = any(names.is_loss(name) and math.isfinite(value) for name, value in found.items())
    if known or isinstance(row.get(NONFINITE), dict):
        return found
    return {**found, **dict.fromkeys(lost, _WORDS["nan"])}


def measured(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row as it says them: NaN only where it was written so, or is named as NONFINITE."""
    found: dict[str, float] = {}
    for name, value in row.items():
        if type(value) is float:  # most of them
            if name not in PLACE:
                found[name] = value
        elif name not in PLACE and isinstance(value, int | float) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:
                continue
    said = row.get(NONFINITE)
    for name, word in said.items() if isinstance(said, dict) else ():
        if row.get(name) is None and isinstance(word, str) and word in _WORDS:
            found[name] = _WORDS[word]
    return found


def position(row: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """The iteration and the epoch of a row."""
    iteration, epoch = row.get("iter", row.get("step")), row.get("epoch")
    return (
        iteration if isinstance(iteration, int) and abs(iteration) < 10**15 else None,
        epoch if isinstance(epoch, int | float) and abs(epoch) < 1e15 else None,
    )


def to_line(row: Mapping[str, Any]) -> bytes:
    """The row as a line; numbers that are not finite become null, and are named as NONFINITE."""
    return json.dumps(finite(row)).encode() + b"\n"


def finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as JSON can hold it: null for a number that is not finite, and under NONFINITE which one it was."""
    lost = {name: str(value) for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
    if not lost:
        return dict(row)
    return {**row, **dict.fromkeys(lost), NONFINITE: lost}
