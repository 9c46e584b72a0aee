"""Candidates of a sweep -> assignments, one for each run. Pure: knows nothing of files and of what the keys mean."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Assignment = dict[str, Any]

LISTED = 100_000  # a sample of at most so many combinations is drawn from a list of all
TRIES = 100  # draws for each run of a sample, at the most


@dataclass(frozen=True, slots=True)
class Grid:
    """What is varied. The last of `axes` changes fastest; each has alternatives, and each alternative sets one key (of
    `sweep`) or several at once (of `zip`)."""

    axes: Sequence[Sequence[Assignment]] = ()
    exclude: Sequence[Assignment] = ()
    include: Sequence[Assignment] = ()
    sample: tuple[int, int] | None = None  # how many, and the seed of the draw
    repeat: Sequence[int] = field(default=())  # seeds

    def __iter__(self) -> Iterator[Assignment]:
        """The product of the axes without what is excluded, or a sample of it; then `include`; each for every seed."""
        for run in itertools.chain(map(self._at, self._chosen()), self.include):
            if self.repeat:
                yield from ({**run, "seed": seed} for seed in self.repeat)
            else:
                yield dict(run)

    def __len__(self) -> int:
        """The maximal number of runs, known without making them."""
        size = self._size if self.sample is None else min(self._size, self.sample[0])
        return (size + len(self.include)) * max(len(self.repeat), 1)

    @property
    def _size(self) -> int:
        return math.prod(map(len, self.axes))

    def _at(self, number: int) -> Assignment:
        """One combination by its number: the digits of a number whose last digit belongs to the last axis."""
        parts = []
        for axis in reversed(self.axes):
            number, digit = divmod(number, len(axis))
            parts.append(axis[digit])
        return {key: value for part in reversed(parts) for key, value in part.items()}

    def _excluded(self, number: int) -> bool:
        return bool(self.exclude) and any(_matches(self._at(number), part) for part in self.exclude)

    def _chosen(self) -> Iterable[int]:
        """The numbers of the combinations that are run, in order."""
        if self.sample is None:
            return (number for number in range(self._size) if not self._excluded(number))
        number_of_runs, seed = self.sample
        draw = random.Random(seed)
        if self._size <= LISTED:
            allowed = [number for number in range(self._size) if not self._excluded(number)]
            return sorted(draw.sample(allowed, min(number_of_runs, len(allowed))))
        chosen: set[int] = set()
        for _ in range(TRIES * number_of_runs):  # too many to list: drawn again where one was taken or is excluded
            if len(chosen) < number_of_runs and not self._excluded(number := draw.randrange(self._size)):
                chosen.add(number)
        return sorted(chosen)


def axes(sweep: Mapping[str, Sequence[Any]], zipped: Mapping[str, Sequence[Any]]) -> list[list[Assignment]]:
    """One axis for each key of `sweep`, and one, the last, for all of `zipped`, whose lists have equal lengths."""
    found = [[{key: value} for value in values] for key, values in sweep.items()]
    if zipped:
        found.append([dict(zip(zipped, values, strict=True)) for values in zip(*zipped.values(), strict=True)])
    return found


def duplicates(runs: Sequence[Assignment]) -> dict[int, int]:
    """Number of a run -> number of an earlier one with the same values."""
    first: dict[str, int] = {}
    found: dict[int, int] = {}
    for number, run in enumerate(runs):
        earlier = first.setdefault(repr(sorted(run.items(), key=lambda item: item[0])), number)
        if earlier != number:
            found[number] = earlier
    return found


def _matches(run: Assignment, part: Assignment) -> bool:
    return all(key in run and equal(run[key], value) for key, value in part.items())


def equal(left: Any, right: Any) -> bool:
    """Whether two values of a config are the same candidate: 1 is 1.0, but not True."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
