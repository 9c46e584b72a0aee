"""The settings of a trial: a function of the search, its number and what is known, so that it can be repeated."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from runner.core.registry import Registry
from runner.search.space import Search, Trial


class Sampler(Protocol):
    def __call__(self, search: Search, number: int, known: Sequence[Trial]) -> dict[str, Any]:
        """The settings of trial `number`."""


_SAMPLERS: Registry[Sampler] = Registry(
    "runner.search.samplers",
    "sampler",
    {"random": "runner.search.suggest:at_random", "grid": "runner.search.suggest:of_grid",
     "tpe": "runner.search.tpe:suggest"},
)  # fmt: skip


def suggest(search: Search, number: int, known: Sequence[Trial]) -> dict[str, Any]:
    """The settings of trial `number`: those of `enqueue` first, then what the sampler says."""
    if number < len(search.enqueue):
        return {**at_random(search, number, known), **search.enqueue[number]}
    sampler: Sampler = _SAMPLERS.get(search.sampler)
    return sampler(search, number, known)


def seed_of(search: Search, number: int) -> int:
    """The seed of one suggestion: another one for each trial, and the same whenever it is asked for."""
    return int.from_bytes(hashlib.sha256(f"{search.seed}:{number}".encode()).digest()[:4], "big") >> 1


def at_random(search: Search, number: int, known: Sequence[Trial]) -> dict[str, Any]:
    """Each setting by itself: evenly, of a range `log` evenly in its logarithm."""
    source = random.Random(seed_of(search, number))
    return {key: one.at(source.random()) for key, one in search.ranges.items()}


def of_grid(search: Search, number: int, known: Sequence[Trial]) -> dict[str, Any]:
    """All combinations, the last setting changes fastest. `enqueue` comes before them."""
    left, found = number - len(search.enqueue), dict[str, Any]()
    for key, one in reversed(list(search.ranges.items())):
        values = one.values or ()
        left, place = divmod(left, len(values))
        found[key] = values[place]
    return {key: found[key] for key in search.ranges}


def inside(search: Search, params: Mapping[str, Any]) -> bool:
    """Whether the settings of a trial are those that the search has now, and in its ranges."""
    return params.keys() == search.ranges.keys() and all(one.holds(params[key]) for key, one in search.ranges.items())
