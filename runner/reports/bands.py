"""The mean of several curves, and the band that they take, where they can be compared. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from runner.reports.comparing.student import LEAST, mean
from runner.reports.series import Series
from runner.reports.tracks import value_at

COLUMNS = 200


class Place(NamedTuple):
    """What `n` curves have at one position. Their band is from `low` to `high`: only of LEAST curves or more."""

    x: float
    n: int
    mean: float
    low: float
    high: float

    @property
    def has_band(self) -> bool:
        return self.n >= LEAST


def places(found: Sequence[Series]) -> list[Place]:
    """Along all their positions. No curve is continued behind its end: from there on it does not count."""
    known = [([x for x, _ in points], [y for _, y in points]) for one in found if (points := one.finite)]
    if not known:
        return []
    low, high = min(xs[0] for xs, _ in known), max(xs[-1] for xs, _ in known)
    made = []
    for number in range(COLUMNS):
        x = high if number == COLUMNS - 1 else low + (high - low) * number / (COLUMNS - 1)
        values = [value for xs, ys in known if (value := value_at(xs, ys, x)) is not None]
        if values:
            made.append(Place(x, len(values), mean(values), min(values), max(values)))
    return made


def from_where_fewer(found: Sequence[Place]) -> int:
    """The place in the list from which on not all curves are there any more; its length if all reach the end."""
    most = max((place.n for place in found), default=0)
    return max((number for number, place in enumerate(found) if place.n == most), default=-1) + 1
