"""Which metric compares jobs, which value of it is best, and numbers as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runner.core.fields import is_number
from runner.core.state import Finished, Record
from runner.output import names

METRICS = ("val/loss", "val/accuracy")  # those that a table shows; by the first one jobs are compared
FIRST = ("val", "valid", "validation", "eval", "test", "dev", "final")  # of other metrics, those of these stages
TAIL = "tail/"  # before the name of a metric: the mean of the last tenth of its curve
WORDS = {"min": "lowest", "max": "highest"}


def compared_by(found: Iterable[Mapping[str, Any]]) -> str | None:
    """The metric by which jobs with these metrics are compared; None if none of them is better or worse."""
    known = list(dict.fromkeys(name for metrics in found for name in metrics if not name.startswith("best/")))
    directed = [name for name in known if name in METRICS or names.better(name)]
    for name in METRICS:
        if name in directed:
            return name
    staged = [name for name in directed if name.replace("_", "/").split("/")[0] in FIRST]
    others = [name for name in directed if name == names.TRAIN]
    return next(iter([*staged, *others, *directed]), None)


def measured_as(name: str) -> str:
    """The metric of `best/val/loss` or `tail/val/loss`."""
    return name.removeprefix("best/").removeprefix(TAIL)


def is_compared(name: str) -> bool:
    """Whether a value of this name is better or worse than another."""
    return name in METRICS or names.better(measured_as(name)) is not None


def better(name: str) -> str:
    """`min` or `max`; of an unknown name the lower value."""
    return names.better(measured_as(name)) or "min"


def index(values: Sequence[Any], direction: str) -> int | None:
    """The place of the best value; None if fewer than two are finite numbers, as then there is nothing to compare."""
    finite = [(float(value), place) for place, value in enumerate(values) if _is_number(value)]
    if len(finite) < 2:
        return None
    if direction == "max":
        return min((-value, place) for value, place in finite)[1]
    return min(finite)[1]


def _is_number(value: Any) -> bool:
    return is_number(value) and math.isfinite(value)


def of_record(record: Record, name: str) -> tuple[float | None, float | None]:
    """The last and the best value of a metric of a job that ended."""
    if not isinstance(record.state, Finished):
        return None, None
    result = record.state.result
    last, entry = result.final_metrics.get(name), result.best_metrics.get(name)
    best = entry.get("value") if isinstance(entry, dict) else None
    return (
        float(last) if last is not None and is_number(last) else None,
        float(best) if best is not None and is_number(best) else None,
    )


def number(value: float | None) -> str:
    """A metric as text: `2.1545`, `3.2e-05`."""
    if value is None:
        return ""
    usual = value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e5
    return f"{value:.4f}" if usual else f"{value:.4g}"
