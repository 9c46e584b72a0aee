"""The values of a setting as a few levels, and settings that vary together. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.core.fields import is_number
from runner.reports.comparison import shown

MOST = 6  # different numbers that are levels of their own; more become ranges
PER_RANGE, MOST_RANGES = 5, 4
SAME_ORDER = 0.95  # the rank correlation from which on two settings vary together
LABEL = 24  # characters


@dataclass(frozen=True, slots=True)
class Levels:
    """`of`: the level of each row. `codes`: its value as a number with the same order. `ranges`: levels are ranges."""

    key: str
    labels: tuple[str, ...]
    of: tuple[int, ...]
    codes: tuple[int, ...]
    ordered: bool
    ranges: bool = False

    @property
    def count(self) -> int:
        return len(self.labels)

    @property
    def tells(self) -> bool:
        """Whether there are two levels, and jobs that have the same one; a text that names each job has none."""
        return 1 < self.count <= max(len(self.of) / 2, 2)

    def members(self) -> list[list[int]]:
        """The rows of each level."""
        found: list[list[int]] = [[] for _ in self.labels]
        for place, level in enumerate(self.of):
            found[level].append(place)
        return found


def levels(rows: Sequence[Mapping[str, Any]], key: str) -> Levels:
    """Each value is a level; of more than six numbers, ranges with about as many jobs in each."""
    values = [row.get(key) for row in rows]
    texts = {repr(value): value for value in values}
    numbers = {text: float(value) for text, value in texts.items() if is_number(value) and value is not None}
    ordered = len(numbers) == len(texts)
    different = sorted(texts, key=numbers.__getitem__ if ordered else None)
    codes = {text: code for code, text in enumerate(different)}
    placed = tuple(codes[repr(value)] for value in values)
    if ordered and len(different) > MOST:
        return _in_ranges(key, [numbers[text] for text in different], placed)
    labels = tuple(shown(texts[text], LABEL) for text in different)
    return Levels(key, labels, placed, placed, ordered)


def _in_ranges(key: str, numbers: Sequence[float], placed: Sequence[int]) -> Levels:
    """Levels of a setting with many numbers, cut between different ones."""
    by_size = sorted(placed)
    parts = max(min(MOST_RANGES, len(placed) // PER_RANGE), 2)
    cuts = sorted({by_size[len(by_size) * part // parts] for part in range(1, parts)} - {0})
    of = tuple(bisect.bisect_right(cuts, code) for code in placed)
    ends = [(start, end - 1) for start, end in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]
    labels = tuple(f"{numbers[first]:.3g} to {numbers[last]:.3g}" for first, last in ends)
    return Levels(key, labels, of, tuple(placed), True, ranges=True)


def together(known: Sequence[Levels]) -> list[list[Levels]]:
    """The settings in classes: those that vary together, so that their effects cannot be told apart, are in one."""
    classes: list[list[Levels]] = []
    for one in known:
        home = next((found for found in classes if _vary_together(found[0], one)), None)
        if home is None:
            classes.append([one])
        else:
            home.append(one)
    return classes


def _vary_together(one: Levels, other: Levels) -> bool:
    if one.ranges and other.ranges:
        return abs(_correlation(ranks(one.codes), ranks(other.codes))) >= SAME_ORDER
    pairs = len(set(zip(one.of, other.of, strict=True)))
    return pairs == one.count == other.count


def ranks(values: Sequence[float]) -> list[float]:
    """From 1; equal values share the mean of their ranks."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    found = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            found[place] = (start + end + 1) / 2
        start = end
    return found


def _correlation(one: Sequence[float], other: Sequence[float]) -> float:
    middle = (len(one) + 1) / 2  # the mean of ranks
    product = sum((a - middle) * (b - middle) for a, b in zip(one, other, strict=True))
    squares = sum((a - middle) ** 2 for a in one) * sum((b - middle) ** 2 for b in other)
    return float(product / squares**0.5) if squares else 0.0
