"""Which group is best, and from which others it cannot be told apart. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from runner.reports.comparing import student
from runner.reports.comparing.groups import Group

ALPHA = 1 - student.LEVEL
LEAST_PAIRS = 5  # seeds that both groups have: with fewer, pairs tell less than all values do
METHOD = "Welch's t test, or a paired one over at least five common seeds; 5 % for all pairs of groups together"


class Tie(NamedTuple):
    """A group that is not distinguishable from the best. `too_few`: one of the two has fewer than three values."""

    place: int
    too_few: bool


def ranked(groups: Sequence[Group], goal: str) -> list[Group]:
    """The best mean first; groups without a value last."""
    sign = -1 if goal == "max" else 1
    return sorted(groups, key=lambda group: (group.mean is None, sign * (group.mean or 0.0)))


def ties(ordered: Sequence[Group]) -> list[Tie]:
    """The groups that are not distinguishable from the first one.

    The best of many is partly the luckiest, so that the level is that of all pairs of groups, not only of those
    with the best (Bonferroni).
    """
    measured = [place for place, group in enumerate(ordered) if group.mean is not None]
    many = sum(ordered[place].n >= student.LEAST for place in measured)
    alpha = ALPHA / max(many * (many - 1) / 2, 1)
    found = []
    for place in measured[1:]:
        best, other = ordered[measured[0]], ordered[place]
        too_few = min(best.n, other.n) < student.LEAST
        if too_few or probability(best, other) > alpha:
            found.append(Tie(place, too_few))
    return found


def probability(one: Group, other: Group) -> float:
    """Of a difference of the means at least so large, if there were none in truth."""
    pairs = _pairs(one, other)
    try:
        if len(pairs) >= LEAST_PAIRS and len(pairs) == one.n == other.n:
            return _paired([first - second for first, second in pairs])
        return _welch(one.values, other.values)
    except OverflowError:
        return 1.0


def _pairs(one: Group, other: Group) -> list[tuple[float, float]]:
    """The values with the same seed; none if a group has two with one seed."""
    first, second = dict(zip(one.seeds, one.values, strict=True)), dict(zip(other.seeds, other.values, strict=True))
    if len(first) < one.n or len(second) < other.n:
        return []
    return [(first[seed], second[seed]) for seed in first if seed in second]


def _paired(differences: Sequence[float]) -> float:
    spread = student.deviation(differences) / math.sqrt(len(differences))
    return _of(student.mean(differences), spread, len(differences) - 1)


def _welch(one: Sequence[float], other: Sequence[float]) -> float:
    first, second = [student.deviation(values) ** 2 / len(values) for values in (one, other)]
    if first + second == 0:
        return _of(student.mean(one) - student.mean(other), 0.0, 1)
    parts = first / (first + second), second / (first + second)
    freedom = 1 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    return _of(student.mean(one) - student.mean(other), math.sqrt(first + second), freedom)


def _of(difference: float, spread: float, freedom: float) -> float:
    """Without any spread the smallest difference is one."""
    if spread == 0:
        return float(difference == 0)
    return student.t_probability(difference / spread, freedom)
