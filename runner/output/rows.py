"""Rows of metrics.jsonl and parsed_metrics.jsonl: JSON objects with a position and numbers. Pure."""

from __future__ import annotations

import json
import math

from runner.output import names

TYPE_CHECKING = False  # as typing.TYPE_CHECKING, without the cost of its import
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_PLACE = ("iter", "max_iters", "epoch", "time", "step")
NAN = float("nan")


def parse(line: str | bytes) -> dict[str, Any] | None:
    """The row in a line; None for what a crash truncated, or what is not an object."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row. A loss that is null is NaN, which JSON does not have.

    Not so where another loss of the row is a number: then it was only not measured in this row.
    """
    found: dict[str, float] = {}
    for name, value in row.items():
        if name not in _PLACE and isinstance(value, int | float) and not isinstance(value, bool):
            try:
                found[name] = float(value)
            except OverflowError:
                continue
    lost = [name for name, value in row.items() if value is None and names.is_loss(name)]
    if lost and not any(names.is_loss(name) and math.isfinite(value) for name, value in found.items()):
        found |= dict.fromkeys(lost, NAN)
    return found


def position(row: Mapping[str, Any]) -> tuple[int | None, float | None]:
    """The iteration and the epoch of a row."""
    iteration, epoch = row.get("iter", row.get("step")), row.get("epoch")
    return (
        iteration if isinstance(iteration, int) and abs(iteration) < 10**15 else None,
        epoch if isinstance(epoch, int | float) and abs(epoch) < 1e15 else None,
    )


def to_line(row: Mapping[str, Any]) -> bytes:
    """The row as a line; numbers that are not finite become null."""
    values = {name: None if isinstance(it, float) and not math.isfinite(it) else it for name, it in row.items()}
    return json.dumps(values).encode() + b"\n"
