"""A full grid: each combination was run equally often, so the parts of the variance are exact (ANOVA). Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations

from runner.reports.comparing.effects import Effect
from runner.reports.comparing.levels import Levels
from runner.reports.comparing.student import mean

MOST_PAIRS = 66  # of settings whose interactions are looked at


def is_full(known: Sequence[Levels]) -> bool:
    """Whether every combination of the levels was run equally often."""
    if any(one.ranges for one in known):
        return False
    cells = Counter(zip(*(one.of for one in known), strict=True))
    return len(cells) == math.prod(one.count for one in known) and len(set(cells.values())) == 1


def effects(known: Sequence[Levels], values: Sequence[float]) -> list[Effect]:
    """What each setting explains, and each pair of them beyond the two. The rest is noise, as far as it can be.

    A grid of two settings with one run for each combination has no rest: then the interaction counts as noise.
    """
    total = _squares(values, range(len(values)))
    main = [(one, _squares(values, one.of) / total, one.count - 1) for one in known]
    pairs = list(combinations(main, 2)) if len(known) * (len(known) - 1) / 2 <= MOST_PAIRS else []
    crossed = []
    for (one, first, few), (other, second, many) in pairs:
        both = _squares(values, list(zip(one.of, other.of, strict=True))) / total
        crossed.append(((one.key, other.key), max(both - first - second, 0.0), few * many))
    found = [((one.key,), share, freedom) for one, share, freedom in main]
    free = len(values) - 1 - sum(freedom for *_, freedom in found)
    rest_freedom = free - sum(freedom for *_, freedom in crossed)
    rest = max(1 - sum(share for _, share, _ in [*found, *crossed]), 0.0)
    if rest_freedom <= 0:  # all is explained by pairs
        rest = max(1 - sum(share for _, share, _ in found), 0.0)
        of_main = [Effect(keys, share, freedom, rest, free) for keys, share, freedom in found]
        return of_main + [Effect(keys, share, freedom, 0.0, 0) for keys, share, freedom in crossed]
    return [Effect(keys, share, freedom, rest, rest_freedom) for keys, share, freedom in [*found, *crossed]]


def _squares(values: Sequence[float], cells: Sequence[Hashable]) -> float:
    """The sum of the squares between cells; with one value in each cell, that of all values."""
    middle = mean(values)
    members: dict[Hashable, list[float]] = {}
    for cell, value in zip(cells, values, strict=True):
        members.setdefault(cell, []).append(value)
    return math.fsum(len(inside) * (mean(inside) - middle) ** 2 for inside in members.values())
