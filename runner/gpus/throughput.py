"""Whether one more job on a GPU brings anything: the iterations per second of its jobs together, against one alone.

Jobs of two kinds do not count the same iterations, so each counts by its own speed alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOWS = 2  # that must agree


class Pace(NamedTuple):
    """How far a job is: its kind, its iterations (None: not known), and whether its start phase is over."""

    kind: str
    iterations: int | None
    settled: bool


@dataclass(slots=True)
class Throughput:
    """The jobs of one GPU. `alone`: kind -> iterations per second of one alone, shared by all GPUs of a batch."""

    window: float  # seconds
    alone: dict[str, float]
    gains: dict[int, float] = field(default_factory=dict)  # number of jobs -> times the speed of one alone
    limit: int | None = None  # jobs, beyond which the sum falls
    _unknown: set[int] = field(default_factory=set)  # numbers of jobs whose gain cannot be known
    _began: float = 0.0
    _before: Mapping[str, Pace] = field(default_factory=dict)
    _rates: list[float] = field(default_factory=list)  # NaN: nothing to compare with

    def look(self, jobs: Mapping[str, Pace], now: float) -> None:
        """Take over how far the jobs on the GPU are. A window begins again when they change."""
        same = jobs.keys() == self._before.keys()
        if not same or not all(pace.settled for pace in (*jobs.values(), *self._before.values())):
            self._began, self._before, self._rates = now, dict(jobs), []
        elif jobs and now - self._began >= self.window:
            self._close_window(jobs, now - self._began)
            self._began, self._before = now, dict(jobs)

    def may_grow(self, jobs: Mapping[str, Pace]) -> bool:
        """Whether one more job may be added to these: their own gain is known, and has not fallen."""
        number = len(jobs)
        if self.limit is not None and number >= self.limit:
            return False
        measurable = all(pace.iterations is not None for pace in jobs.values())
        return number in self.gains or number in self._unknown or not measurable

    @property
    def best(self) -> tuple[int, float] | None:
        """The most jobs for which the gain is known, and the gain; None for one alone."""
        known = {number: gain for number, gain in self.gains.items() if number > 1}
        return max(known.items(), key=lambda entry: entry[1]) if known else None

    def _close_window(self, jobs: Mapping[str, Pace], seconds: float) -> None:
        speeds = {name: _speed(self._before[name], pace, seconds) for name, pace in jobs.items()}
        if any(speed is None for speed in speeds.values()):
            return
        if len(jobs) == 1:
            (name,) = jobs
            if speed := speeds[name]:
                self.alone[jobs[name].kind] = speed
        bases = {name: self.alone.get(pace.kind) for name, pace in jobs.items()}
        if not all(bases.values()):
            self._rates.append(float("nan"))
        else:
            self._rates.append(sum((speeds[name] or 0.0) / (base or 1.0) for name, base in bases.items()))
        if len(self._rates) >= WINDOWS:
            self._settle(len(jobs), self._rates[-WINDOWS:])

    def _settle(self, number: int, rates: list[float]) -> None:
        """Keep the gain of so many jobs; if it is below that of fewer in each window, no more are added."""
        if any(rate != rate for rate in rates):  # the speed alone is not known: nothing can be compared
            self._unknown.add(number)
            return
        self.gains[number] = 1.0 if number == 1 else sum(rates) / len(rates)
        fewer = max((gain for other, gain in self.gains.items() if other < number), default=0.0)
        if number > 1 and all(rate < fewer for rate in rates):
            self.limit = number - 1


def _speed(before: Pace, after: Pace, seconds: float) -> float | None:
    if before.iterations is None or after.iterations is None:
        return None
    return max(after.iterations - before.iterations, 0) / seconds
