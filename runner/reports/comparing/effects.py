"""What each setting explains of the ranks of the jobs, for itself, with an interval. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from runner.reports.comparing.levels import Levels, ranks

SEED = 0
WORK, MOST, FEWEST = 2_000_000, 400, 40  # cells that are drawn in all resamples, and the number of these


class Effect(NamedTuple):
    """A part of all differences. `rest`: the part that is noise, with its degrees of freedom."""

    keys: tuple[str, ...]
    share: float
    freedom: int
    rest: float
    rest_freedom: int
    lo: float | None = None
    hi: float | None = None


def of_ranks(known: Sequence[Levels], values: Sequence[float]) -> list[Effect]:
    """Ranks instead of values: a single loss of 1e9 does not count for more than the worst place."""
    placed = ranks(values)
    resampled = _resampled(known, placed)
    found = []
    for one, draws in zip(known, resampled, strict=True):
        share = _share(one.of, one.count, placed)
        lo, hi = _interval(share, draws)
        found.append(Effect((one.key,), share, one.count - 1, 1 - share, len(values) - one.count, lo, hi))
    return found


def _share(of: Sequence[int], count: int, values: Sequence[float]) -> float:
    """The sum of the squares between levels, divided by that of all values."""
    middle = sum(values) / len(values)
    sums, sizes, total = [0.0] * count, [0] * count, 0.0
    for level, value in zip(of, values, strict=True):
        distance = value - middle
        sums[level] += distance
        sizes[level] += 1
        total += distance * distance
    between = sum(part * part / size for part, size in zip(sums, sizes, strict=True) if size)
    return min(between / total, 1.0) if total else 0.0


def _resampled(known: Sequence[Levels], placed: Sequence[float]) -> list[list[float]]:
    """The share of each setting in jobs that are drawn from these with replacement."""
    number = min(max(WORK // (len(placed) * len(known)), FEWEST), MOST)
    drawing = random.Random(SEED)
    found: list[list[float]] = [[] for _ in known]
    for _ in range(number):
        drawn = drawing.choices(range(len(placed)), k=len(placed))
        values = [placed[place] for place in drawn]
        for one, shares in zip(known, found, strict=True):
            shares.append(_share([one.of[place] for place in drawn], one.count, values))
    return found


def _interval(share: float, draws: Sequence[float]) -> tuple[float, float]:
    """The basic bootstrap: draws have more of what is chance than the share has, and this takes it away again."""
    ordered = sorted(draws)
    cut = int(len(ordered) * 0.025)
    lo, hi = 2 * share - ordered[-1 - cut], 2 * share - ordered[cut]
    return min(max(lo, 0.0), 1.0), min(max(hi, 0.0), 1.0)
