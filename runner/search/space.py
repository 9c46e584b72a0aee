"""What a search varies, and what it knows of its trials. Values only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

LOG, FLOAT, INT, CHOICE = KINDS = ("log", "float", "int", "choice")
SAMPLERS, GOALS = ("random", "grid", "tpe"), ("min", "max")
PRUNERS = NONE, MEDIAN, ASHA = ("none", "median", "asha")
COMPLETE, FAIL, RUNNING, PRUNED = "complete", "fail", "running", "pruned"  # of a trial, as a sampler sees it


@dataclass(frozen=True, slots=True)
class Range:
    """The values of one setting: `of` are two limits, for `int` perhaps a step too, or the choices."""

    kind: str
    of: tuple[Any, ...]

    @property
    def step(self) -> int:
        return int(self.of[2]) if self.kind == INT and len(self.of) == 3 else 1

    @property
    def values(self) -> Sequence[Any] | None:
        """All values; None where they have no end."""
        if self.kind == CHOICE:
            return self.of
        return range(self.of[0], self.of[1] + 1, self.step) if self.kind == INT else None

    @property
    def ends(self) -> Sequence[Any]:
        """The values to check before the start: the choices, or the two limits."""
        if self.kind == CHOICE:
            return self.of
        low, high = self.of[0], self.of[1]
        return (low, self.values[-1]) if self.values else (float(low), float(high))

    def at(self, fraction: float) -> Any:
        """The value at a place from 0 to 1."""
        if (values := self.values) is not None:
            return values[min(int(fraction * len(values)), len(values) - 1)]
        low, high = float(self.of[0]), float(self.of[1])
        if self.kind == LOG:
            low, high = math.log(low), math.log(high)
            found = math.exp(low + fraction * (high - low))
        else:
            found = low + fraction * (high - low)
        return min(max(found, float(self.of[0])), float(self.of[1]))

    def holds(self, value: Any) -> bool:
        """Whether it is one of the values."""
        if self.values is not None:
            return any(type(one) is type(value) and one == value for one in self.values)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and float(self.of[0]) <= value <= float(self.of[1])


@dataclass(frozen=True, slots=True)
class Search:
    """The section `search` of a spec. `time` is in seconds, None: no limit.

    `resource` is the key of a row of metrics that `min_resource` and `max_resource` count; empty: the iteration.
    `confirm` of the best trials are run again, each with `confirm_seeds` other seeds.
    """

    ranges: Mapping[str, Range]
    metric: str
    goal: str = "min"
    trials: int = 20
    sampler: str = "random"
    seed: int = 0
    enqueue: tuple[Mapping[str, Any], ...] = ()
    time: float | None = None
    pruner: str = NONE
    min_resource: float = 0.0
    max_resource: float | None = None
    reduction_factor: int = 3
    promote: bool = False
    resource: str = ""
    confirm: int = 0
    confirm_seeds: int = 3

    @property
    def most(self) -> int:
        """The number of trials: of a grid at most as many as it has."""
        if self.sampler != "grid":
            return self.trials
        return min(self.trials, len(self.enqueue) + math.prod(len(one.values or ()) for one in self.ranges.values()))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "ranges": {key: {one.kind: list(one.of)} for key, one in self.ranges.items()},
                "enqueue": [dict(one) for one in self.enqueue]}  # fmt: skip

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Raises ValueError for what is not a search."""
        try:
            ranges = {key: Range(kind, tuple(of)) for key, one in record["ranges"].items() for kind, of in one.items()}
            return cls(**{**record, "ranges": ranges, "enqueue": tuple(record["enqueue"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"plan.json: origin.search cannot be read ({error})") from None


@dataclass(frozen=True, slots=True)
class Trial:
    """What is known of a trial. `value` is None unless it completed, or was pruned; then `at` is where."""

    number: int
    params: Mapping[str, Any]
    state: str = RUNNING
    value: float | None = None
    at: float | None = None


def name(number: int) -> str:
    """The name of a trial's job."""
    return f"trial_{number:04d}"


def number(job: str) -> int | None:
    """The number of the trial with this name; None for another job."""
    digits = job.removeprefix("trial_")
    return int(digits) if job != digits and digits.isdecimal() and name(int(digits)) == job else None
