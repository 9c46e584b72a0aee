"""The curves of two jobs, and the first step at which they part. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from runner.output import rows

Curve = Mapping[int, float]  # the value at each step; of a step that was repeated after a resume, the later one


@dataclass(frozen=True, slots=True)
class Parting:
    """`step`: the first common one with two different values; None if all `common` ones are equal."""

    metric: str
    common: int
    equal_before: int
    step: int | None = None
    one: float | None = None
    other: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def curves(found: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """The curve of each metric in rows of metrics.jsonl that have a step."""
    made: dict[str, dict[int, float]] = {}
    for row in found:
        step, _ = rows.position(row)
        if step is not None:
            for name, value in rows.numbers(row).items():
                made.setdefault(name, {})[step] = value
    return made


def partings(one: Mapping[str, Curve], other: Mapping[str, Curve]) -> list[Parting]:
    """For each metric with common steps, where the curves part; the earliest first, equal ones last."""
    found = [_parting(name, one[name], other[name]) for name in one if name in other]
    known = [parting for parting in found if parting.common]
    return sorted(known, key=lambda parting: (parting.step is None, parting.step or 0))


def _parting(name: str, one: Curve, other: Curve) -> Parting:
    common = sorted(one.keys() & other.keys())
    for place, step in enumerate(common):
        if not _equal(one[step], other[step]):
            return Parting(name, len(common), place, step, one[step], other[step])
    return Parting(name, len(common), len(common))


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))
